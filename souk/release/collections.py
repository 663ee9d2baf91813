"""Which releases a workspace uses, and their Milvus collections; beside what servers say (souk.release.in_use)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from souk.config.experiments import read_experiments, refuse_other_than_file
from souk.errors import SoukError
from souk.release.manifest import verify
from souk.release.pointer import history, release_names
from souk.workspace import Workspace


def releases_in_use(workspace: Workspace, further: Iterable[str] = ()) -> set[str]:
    """The names of the current release, the one before it, those of experiments, and further ones that are there.

    Raises:
        SoukError: the file of experiments is wrong, so that nobody knows which releases servers go on with.
    """
    refuse_other_than_file(workspace.experiments)
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
