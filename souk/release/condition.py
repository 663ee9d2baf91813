"""In which condition the served release and the user states beside it are: whether a challenger can be compared with
it, and whether it has to be made again."""

from __future__ import annotations

import hashlib

from souk.errors import SoukError
from souk.publication import REGISTRY, stopped
from souk.release.manifest import NAME, verify
from souk.workspace import Workspace


def damage(workspace: Workspace, name: str) -> str:
    """What a release lacks of its files as they were packaged, every byte looked at.

    Args:
        workspace: of the release.
        name: its name.

    Returns:
        One line; "" where it is whole.
    """
    try:
        verify(workspace.releases / name)
    except SoukError as error:
        return str(error)
    return ""


def without_states(workspace: Workspace) -> str:
    """What the user states lack, one line: there are none, or their publication was stopped midway; else ""."""
    if not (workspace.feast / REGISTRY).is_file():
        return f"no user states in {workspace.feast}"
    return f"a publication of user states in {workspace.feast} that stopped midway" if stopped(workspace.feast) else ""


def condition(workspace: Workspace, name: str) -> str:
    """A digest of all that `evaluate` reads of a champion: another champion, a damaged one, or one without
    its user states has another.

    Args:
        workspace: of the release.
        name: its name, "" for none.
    """
    if not name:
        return ""
    manifest = workspace.releases / name / NAME
    digest = hashlib.sha256(manifest.read_bytes() if manifest.is_file() else b"")
    digest.update(f"{damage(workspace, name)} {without_states(workspace)}".encode())
    return digest.hexdigest()[:12]
