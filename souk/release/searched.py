"""Which collections on a Milvus server the servers of a workspace search: each says so from time to time.

A release that a server was told by name is none that the workspace tells of otherwise.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from souk.workspace import Workspace

SAY_SECONDS = 300.0  # between two times that a server says so
KEPT_SECONDS = 3600.0  # that it holds


def say_searched(workspace: Workspace, collection: str) -> None:
    """Says that a server searches a collection.

    Raises:
        OSError: the disk did not take it.
    """
    folder = _folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / collection).touch()


def searched(workspace: Workspace, now: float) -> set[str]:
    """The collections that servers search, as they said lately; older words are deleted.

    Args:
        workspace: the workspace.
        now: seconds since the epoch.
    """
    found = set()
    for path in _folder(workspace).glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another deploy deleted it
            if now - path.stat().st_mtime <= KEPT_SECONDS:
                found.add(path.name)
            else:
                path.unlink()
    return found


def _folder(workspace: Workspace) -> Path:
    return workspace.milvus / "searched"
