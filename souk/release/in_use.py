"""What is in use, as those say who use it: a file each, touched from time to time.

Servers say what they search and which releases they read, as they may have been told one that nothing in the workspace
names; a deploy says which release it is about to make current.
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
    _say(workspace.milvus / "searched", collection)


def searched(workspace: Workspace, now: float) -> set[str]:
    """The collections that servers search, as they said lately; older words are deleted.

    Args:
        workspace: the workspace.
        now: seconds since the epoch.
    """
    return _said(workspace.milvus / "searched", now)


def say_needed(workspace: Workspace, release: str) -> None:
    """Says that a server or a deploy reads a release of the workspace, whose folder has to stay.

    Raises:
        OSError: the disk did not take it.
    """
    _say(workspace.releases / ".needed", release)


def needed(workspace: Workspace, now: float) -> set[str]:
    """The releases that somebody reads, as they said lately; older words are deleted.

    Args:
        workspace: the workspace.
        now: seconds since the epoch.
    """
    return _said(workspace.releases / ".needed", now)


def _say(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


def _said(folder: Path, now: float) -> set[str]:
    found = set()
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another deploy deleted it
            if now - path.stat().st_mtime <= KEPT_SECONDS:
                found.add(path.name)
            else:
                path.unlink()
    return found
