"""Which user states that were published no release of a workspace reads."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from pathlib import Path

from souk.errors import SoukError
from souk.publication import SPECS
from souk.release.in_use import needed
from souk.release.manifest import verify
from souk.release.pointer import release_names
from souk.spec import read_spec
from souk.workspace import Workspace

# A run publishes before it trains, and its release is there at the end: a day later, or two. A deploy publishes again
# what it does not find, so that a longer one loses nothing either.
LATELY_SECONDS = 7 * 86_400.0
WRONG = (SoukError, OSError, ValueError, KeyError, TypeError)


def unread_states(workspace: Workspace, further: Collection[str] = (), gone: Collection[str] = ()) -> dict[str, str]:
    """The published specifications whose states no release reads, by hash: each with why its states stay all the same,
    "" where they may go.

    Every release of the workspace counts, current or not. Where one cannot be asked, nothing may go.

    Args:
        workspace: whose releases and states.
        further: names of what else is in use, as a cluster's canary.
        gone: releases that do not count any more.
    """
    files = {path.stem: path for path in sorted((workspace.feast / SPECS).glob("*.json"))}
    names = {*release_names(workspace)} - {*gone}
    read, otherwise = set[str](), ""
    unknown = "" if names else "there is no release here: whoever has one elsewhere may read them"
    for name in sorted(names | {*further} | needed(workspace, time.time())):
        try:
            own, told = _hashes(workspace.releases / name)
        except WRONG:
            unknown = unknown or f"{name} is in use, or may be, and does not tell what it reads"
            continue
        read |= {*own, told}
        otherwise = otherwise if told in own else name
    return {
        states: unknown or _why(file, otherwise, time.time() - LATELY_SECONDS)
        for states, file in files.items()
        if states not in read
    }


def _hashes(release: Path) -> tuple[tuple[str, str], str]:
    """What this version of Souk names a release's specification and that of its states, and what its own named it."""
    verify(release, only=["spec.json", "bundle.json"])
    spec = read_spec(release / "spec.json")
    return (spec.hash, spec.of_states.hash), json.loads((release / "bundle.json").read_text(encoding="utf-8"))[
        "spec_hash"
    ]


def _why(file: Path, otherwise: str, since: float) -> str:
    try:
        known = read_spec(file).hash == file.stem
        published = max(path.stat().st_mtime for path in file.parent.glob(f"{file.stem}.*"))
    except WRONG as error:  # one that is gone, too: somebody publishes at this moment, or deletes
        return f"{file} cannot be read: {type(error).__name__}"
    if otherwise and not known:
        return f"another version of Souk named them, as it did {otherwise}, which may read them"
    if published >= since:
        return "published within a week: a run may be about to deploy what reads them"
    return ""
