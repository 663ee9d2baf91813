"""What a publication of user states leaves in a workspace's `feast/` folder, told without Feast, which takes seconds to
import."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REGISTRY = "registry.db"
SPECS, ADDRESS = "specs", ".uri"
LOCK, BEGUN = "publish.lock", "publication.begun"


@contextmanager
def publishing(folder: Path, wait: bool = True, tell: Callable[[str], object] = lambda line: None) -> Iterator[None]:
    """Nobody else publishes into a folder meanwhile, or deletes what was published.

    Args:
        folder: the workspace's `feast/` folder.
        wait: for who does.
        tell: is told that it is waited for.

    Raises:
        BlockingIOError: somebody does, and nobody is to `wait`.
    """
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            tell(f"waiting for another publication into {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stopped(folder: Path) -> str:
    """What a publication left that stopped midway, "" where none did: while one is at work, it may still end."""
    try:
        begun = (folder / BEGUN).read_text(encoding="utf-8")
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return ""
    return begun
