"""An explanation for a user of a workspace: the server's, without the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from souk.release.bundle import Bundle
from souk.release.manifest import verify
from souk.serving.explain import Explainer
from souk.serving.explain_words import to_json
from souk.serving.fields import identifier
from souk.serving.recommender import Recommender
from souk.serving.request import RequestParser
from souk.serving.served import open_store, with_upserts
from souk.workspace import Workspace


def explain_user(workspace: str | Path, user: str, item: str, at: int, release: str = "") -> dict[str, Any]:
    """Why an item has its score.

    Args:
        workspace: the workspace folder.
        user: the user's id; one who is not known is explained from the moment and the item.
        item: the item's id; "" for the first of the slate.
        at: the moment, UTC epoch milliseconds.
        release: a release's folder; "" for the workspace's current one.

    Raises:
        SoukError: no release, no such item, an id or moment that is none, or a release that cannot explain.
    """
    place = Workspace(Path(workspace))
    folder = place.served_folder(release)
    verify(folder)
    bundle = Bundle.load(folder)
    parser = RequestParser(bundle.spec, bundle.settings.slate_size, bundle.settings.max_slate_size)
    request = parser.parse({"user_id": user, "timestamp": at}, at, path="request")
    wanted = identifier("item", item) if item else ""
    loaded = Recommender.load(bundle, None, open_store(place, bundle))
    recommender = with_upserts(place, bundle, loaded, lambda: at).current
    return to_json(Explainer(recommender).explain(request, wanted))
