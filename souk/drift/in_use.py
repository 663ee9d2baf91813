"""The release that a detector compares with stays: the detector says to `souk release prune` that it needs it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from souk.release.in_use import SAY_SECONDS, say_needed
from souk.workspace import Workspace

logger = logging.getLogger(__name__)


class Needed:
    """Says that a release is read, if it lies in a workspace.

    Args:
        folder: the release, with links resolved.
        seconds: between two times that it says so.
    """

    def __init__(self, folder: Path, seconds: float = SAY_SECONDS) -> None:
        self._name = folder.name
        workspace = Workspace(folder.parents[1] if len(folder.parents) > 1 else folder)
        self._workspace = workspace if workspace.releases == folder.parent else None
        self._seconds = seconds
        self._failed = False

    def say(self) -> None:
        """Says it once. What that fails at, as on a volume that only gives, is told the first time."""
        if not self._workspace:
            return
        try:
            say_needed(self._workspace, self._name)
        except OSError as error:
            if not self._failed:
                text = "%s is not marked as in use, and `souk release prune` may delete it: %s"
                logger.warning(text, self._name, error)
            self._failed = True

    @contextlib.contextmanager
    def saying(self) -> Iterator[None]:
        """Says it now and then, from a thread that ends with the block."""
        stopped = threading.Event()

        def go_on() -> None:
            while not stopped.wait(self._seconds):
                self.say()

        thread = threading.Thread(target=go_on, name="release in use", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
