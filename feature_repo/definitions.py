"""Every view that the pipeline has published into the workspace: the objects that the step itself applies."""

import os
from pathlib import Path

from souk.store.definitions import published_views, user_entity

HERE = Path(__file__).resolve().parent
SETTINGS = Path(os.environ.get("FEAST_FS_YAML_FILE_PATH") or HERE.parent / ".souk" / "feast" / "feature_store.yaml")
FOLDER = SETTINGS.resolve().parent

user = user_entity()
views = published_views(FOLDER)
globals().update({view.name: view for view in views})  # Feast collects a module's names, not what is in its lists
