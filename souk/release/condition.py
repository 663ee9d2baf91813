"""In which condition the served release is: whether a challenger can be compared with it, and what it is."""

from __future__ import annotations

import hashlib

from souk.errors import SoukError
from souk.release.manifest import NAME, verify
from souk.workspace import Workspace


def damage(workspace: Workspace, name: str) -> str:
    """What a release that is served lacks, every byte looked at: its files as they were packaged, or the user states.

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
    return "" if any(workspace.feast.glob("*.db")) else f"no user states in {workspace.feast}"


def condition(workspace: Workspace, name: str) -> str:
    """A digest of all that `evaluate` reads of a champion: another champion, or a damaged one, has another.

    Args:
        workspace: of the release.
        name: its name, "" for none.
    """
    if not name:
        return ""
    manifest = workspace.releases / name / NAME
    digest = hashlib.sha256(manifest.read_bytes() if manifest.is_file() else b"")
    digest.update(damage(workspace, name).encode())
    return digest.hexdigest()[:12]
