"""In which condition the served release and the user states beside it are: whether a challenger can be compared with
it, and whether it has to be made again."""

from __future__ import annotations

import hashlib
import json

from souk.errors import SoukError
from souk.plugs import changed
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


def other_classes(workspace: Workspace, name: str) -> str:
    """The classes of one's own that a release's twin was judged with and that are other ones by now, or gone: what is
    asked now is not what is served. "" for none.

    Args:
        workspace: of the release.
        name: its name.
    """
    try:
        settings = json.loads((workspace.releases / name / "twin" / "bundle.json").read_bytes())
        named = [*settings.get("retrievers", {}).values(), *filter(None, [settings.get("ranker")])]
        return ", ".join(changed(named))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged, which is told as such
        return ""


def condition(workspace: Workspace, name: str) -> str:
    """A digest of all that `evaluate` reads of a champion: another one, a damaged one, one without its user states,
    or one whose classes are other ones by now has another.

    Args:
        workspace: of the release.
        name: its name, "" for none.
    """
    if not name:
        return ""
    manifest = workspace.releases / name / NAME
    digest = hashlib.sha256(manifest.read_bytes() if manifest.is_file() else b"")
    told = (damage(workspace, name), without_states(workspace), other_classes(workspace, name))
    digest.update(" ".join(told).encode())
    return digest.hexdigest()[:12]
