"""Deletes releases that nothing needs any more."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from souk.folders import remove
from souk.release.collections import collection_of, releases_in_use
from souk.release.in_use import needed, searched
from souk.release.manifest import NAME
from souk.release.pointer import alone, forget, release_names
from souk.workspace import Workspace

GONE = ".deleted."  # what a folder's name begins with from when it is no release any more


def prune(workspace: Workspace, keep: int, further: Iterable[str] = (), dry: bool = False) -> dict[str, int]:
    """Deletes releases; returns the bytes of each.

    Kept are the `keep` that were packaged last, the current one, the one before it, those of experiments, those that
    running servers and deploys said within the hour that they need, and further ones. A release goes at once: killed in
    between, this leaves whole ones only, and the next call clears the rest. It works on a full disk, too.

    Args:
        workspace: of the releases.
        keep: how many of the newest.
        further: names of what else is in use, as a cluster's canary.
        dry: deletes nothing.

    Raises:
        SoukError: the file of experiments is wrong, so that nobody knows which releases servers go on with.
    """
    with alone(workspace):
        newest = sorted(release_names(workspace), key=lambda name: _packaged(workspace, name), reverse=True)
        kept = releases_in_use(workspace, further) | _read(workspace) | {*newest[:keep]}
        gone = {name: _size(workspace.releases / name) for name in newest if name not in kept}
        if dry:
            return gone
        for left in workspace.releases.glob(f"{GONE}*"):
            remove(left)
        for name in gone:
            fresh = workspace.releases / f"{GONE}{name}"
            os.replace(workspace.releases / name, fresh)  # half a folder would still be listed
            remove(fresh)
        with contextlib.suppress(OSError):  # a disk that is full all the same: `history` passes over what is gone
            forget(workspace, gone)
    return gone


def _read(workspace: Workspace) -> set[str]:
    """Those that somebody reads, or whose collection a server of Milvus is searched for."""
    now = time.time()
    lately = searched(workspace, now)
    names = (name for name in release_names(workspace) if collection_of(workspace.releases / name) in lately)
    return {*names} | needed(workspace, now)


def _packaged(workspace: Workspace, name: str) -> tuple[int, str]:
    return (workspace.releases / name / NAME).stat().st_mtime_ns, name


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
