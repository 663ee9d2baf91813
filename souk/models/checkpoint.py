"""Where a fit goes on after it was killed: its state after the last whole pass, in one file for each of its stages."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.folders import placed, remove, untouched
from souk.workspace import Workspace

logger = logging.getLogger(__name__)
PROGRESS = "progress"
STATE, BEST = "state/", "best/"
NUMBER = re.compile(r"_\d+(?=/|$)")
DAMAGED = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile)  # an empty file, any byte of it
ABANDONED = 7 * 24 * 3600  # seconds without a pass: a fit that goes on writes its checkpoints long before


class Checkpoints:
    """The states of a fit, an `.npz` a stage: those of the stages before are needed to come back to the last one.

    Args:
        folder: of this fit alone. Its name must stand for all that the fit depends on. None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def save(self, stage: int, variables: Sequence[Any], best: Mapping[str, np.ndarray], progress: Any) -> None:
        """Keeps what the next pass of a stage depends on; the file appears whole or not at all.

        What cannot be kept is told: another run with the same inputs may be done first, and delete the folder.

        Args:
            stage: from 1.
            variables: all that a pass changes.
            best: the best weights so far, by name.
            progress: what JSON can say of the rest.
        """
        if self.folder:
            arrays = {name: v.numpy() for name, v in _named(variables).items()}
            arrays |= {BEST + name: value for name, value in best.items()}
            try:
                with placed(self._path(stage)) as fresh, fresh.open("wb") as file:
                    np.savez(file, **arrays, **{PROGRESS: np.array(json.dumps(progress))})  # type: ignore[arg-type]
            except OSError as error:
                logger.warning("%s is not written: %s; the fit goes on", self._path(stage), error)

    def resume(self, stage: int, variables: Sequence[Any]) -> tuple[Any, dict[str, np.ndarray]]:
        """Sets the variables as the last `save` of the stage found them; gives its progress and its best weights.

        Where there was none, or it is damaged or of other variables, they stay, and it gives None and nothing.
        """
        arrays, progress = self._load(stage)
        named = _named(variables)
        shapes = {name: array.shape for name, array in arrays.items() if name.startswith(STATE)}
        if shapes != {name: tuple(v.shape) for name, v in named.items()}:
            return None, {}
        for name, variable in named.items():
            variable.assign(arrays[name])
        return progress, {name[len(BEST) :]: array for name, array in arrays.items() if name.startswith(BEST)}

    def last(self) -> str:
        """A sentence that names the file of the last whole pass; empty where there is none."""
        kept = sorted(self.folder.glob("stage_*.npz")) if self.folder else []
        return f" The last good pass is in {kept[-1]}." if kept else ""

    def _path(self, stage: int) -> Path:
        return (self.folder or Path()) / f"stage_{stage}.npz"

    def _load(self, stage: int) -> tuple[dict[str, np.ndarray], Any]:
        if not self.folder or not self._path(stage).is_file():
            return {}, None
        try:
            with np.load(self._path(stage), allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            return found, json.loads(str(found.pop(PROGRESS)))
        except DAMAGED:
            return {}, None


def _named(variables: Sequence[Any]) -> dict[str, Any]:
    """By place and path, without the numbers that Keras gives to layers of one name: they count those of a process."""
    paths = (NUMBER.sub("", getattr(v, "path", v.name)) for v in variables)
    return {f"{STATE}{place:04d} {path}": v for place, (path, v) in enumerate(zip(paths, variables, strict=True))}


def checkpoints_of(workspace: str, digest: str, report: Callable[[str], None]) -> Path:
    """The folder of a fit's checkpoints in a workspace; deletes those of fits that nobody took up.

    Args:
        workspace: its root.
        digest: of all that the fit depends on.
        report: takes a line of progress.
    """
    folder = Workspace(Path(workspace)).checkpoints
    for path in untouched(folder, time.time() - ABANDONED):
        report(f"deleting the checkpoints of {path.name}, a fit that nobody took up")
        remove(path)
    return folder / digest


def finished(folder: Path) -> None:
    """Deletes the checkpoints of a fit that is whole; what another run with the same inputs writes meanwhile stays."""
    with contextlib.suppress(OSError):
        remove(folder)


def digest_of_inputs(said: Sequence[str | int], paths: Iterable[Path]) -> str:
    """Names all that a fit depends on, the versions of its libraries among it: twelve hex digits.

    Args:
        said: arguments, the code's digest among them.
        paths: files, and folders with all that is in them.
    """
    digest = hashlib.sha256(json.dumps([*said, tf.__version__, keras.__version__]).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                with file.open("rb") as content:
                    digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:12]
