"""Which Milvus collections a workspace uses: those of its releases, and those that its servers say they search.

A server may have been told a release that nothing in the workspace names.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from souk.config.experiments import read_experiments
from souk.errors import SoukError
from souk.release.manifest import verify
from souk.release.pointer import history, release_names
from souk.workspace import Workspace

SAY_SECONDS = 300.0  # between two times that a server says so
KEPT_SECONDS = 3600.0  # that it holds


def releases_in_use(workspace: Workspace, further: Iterable[str] = ()) -> set[str]:
    """The names of the current release, the one before it, those of experiments, and further ones that are there.

    Raises:
        SoukError: the file of experiments is wrong, so that nobody knows which releases servers go on with.
    """
    arms = read_experiments(workspace.experiments).releases if workspace.experiments.exists() else []
    return {workspace.current_release(), *history(workspace)[-1:], *arms, *further} & set(release_names(workspace))


def collections_in_use(workspace: Workspace, further: Iterable[str] = ()) -> set[str]:
    """The Milvus collections of the releases in use.

    A damaged release names none: nothing goes back to it, and a collection is built from vectors where it is missing.

    Raises:
        SoukError: as `releases_in_use`.
    """
    return {collection_of(workspace.releases / name) for name in releases_in_use(workspace, further)} - {""}


def collection_of(release: Path) -> str:
    """The Milvus collection of a release by its folder, "" of a damaged one."""
    try:
        verify(release, only=["bundle.json"])
    except SoukError:
        return ""
    return str(json.loads((release / "bundle.json").read_text(encoding="utf-8"))["collection"])


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
