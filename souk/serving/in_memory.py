"""Releases in memory, each read once, whoever is answered by it: as the current one, the one before, or an arm."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from souk.serving.releases import Ready, Served

logger = logging.getLogger(__name__)


@dataclass
class _Held:
    """A release that was read.

    Args:
        ready: it.
        users: how many hold it.
    """

    ready: Ready
    users: int = 0


class InMemory:
    """Reads releases, and hands one that is in memory out again. Who got one closes it; with the last it is let go.

    Args:
        read: makes a release of a folder ready.
    """

    def __init__(self, read: Callable[[Path], Ready]) -> None:
        self._read = read
        self._held: dict[Path, _Held] = {}
        self._counting = threading.Lock()
        self._reading = weakref.WeakValueDictionary[Path, Any]()  # locks: one that hangs holds up no other

    def ready(self, folder: Path) -> Ready:
        """The release of a folder. Two who want the same at the same time wait for one reading.

        Raises:
            Exception: what `read` raises.
        """
        with self._counting:
            reading = self._reading.setdefault(folder, threading.Lock())
        with reading:
            shared = self._taken(folder)
            if shared is None:
                made = self._read(folder)
                with self._counting:
                    shared = self._held[folder] = _Held(made, 1)
            else:
                logger.warning("release %s: in memory already", folder.name)
        return self._handed_out(folder, shared)

    def _taken(self, folder: Path) -> _Held | None:
        with self._counting:
            held = self._held.get(folder)
            if held:
                held.users += 1
            return held

    def _handed_out(self, folder: Path, held: _Held) -> Ready:
        """A release for one more user, who may close it more than once."""
        open_ = [held]

        def close() -> None:
            with self._counting:
                if not open_:
                    return
                open_.clear()
                held.users -= 1
                if held.users:
                    return
                del self._held[folder]
            held.ready.close()

        def serve(before: Served | None = None) -> Served:
            return replace(held.ready.serve(before), close=close)

        return Ready(serve, close)
