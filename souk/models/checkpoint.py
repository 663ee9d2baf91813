"""Where a fit goes on after it was killed: its arrays after the last whole epoch, in one file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from souk.folders import placed

PROGRESS = "progress"


class Checkpoint:
    """The state of a fit in an `.npz`; it appears whole or not at all.

    Args:
        path: the file. Its name must stand for all that the fit depends on.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def save(self, arrays: Mapping[str, np.ndarray], progress: Any) -> None:
        """Writes named arrays, and what JSON can say of the progress."""
        with placed(self.path) as fresh, fresh.open("wb") as file:
            np.savez(file, **dict(arrays), **{PROGRESS: np.array(json.dumps(progress))})  # type: ignore[arg-type]

    def load(self) -> tuple[dict[str, np.ndarray], Any]:
        """The arrays and the progress of the last `save`; nothing and None where there was none, or it is damaged."""
        if not self.path.is_file():
            return {}, None
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            return found, json.loads(str(found.pop(PROGRESS)))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return {}, None
