"""What a publication of user states leaves in a workspace's `feast/` folder, told without Feast, which takes seconds to
import."""

from __future__ import annotations

import fcntl
from pathlib import Path

REGISTRY = "registry.db"
LOCK, BEGUN = "publish.lock", "publication.begun"


def stopped(folder: Path) -> str:
    """What a publication left that stopped midway, "" where none did: while one is at work, it may still end."""
    try:
        begun = (folder / BEGUN).read_text(encoding="utf-8")
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return ""
    return begun
