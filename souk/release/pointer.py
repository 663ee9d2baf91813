"""Which release of a workspace is served: the link `current`, and the history that `rollback` follows."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from souk.errors import SoukError, unknown
from souk.folders import placed
from souk.release.manifest import NAME, read_manifest, verify
from souk.workspace import Workspace

HISTORY = "history.json"
ROLLED_BACK = "rolled_back.json"
WITHOUT = {  # what is lost with a file
    HISTORY: "`souk rollback NAME` goes back all the same, to any release of `souk release list`",
    ROLLED_BACK: "a run may then make current again what somebody went back from",
}


def release_names(workspace: Workspace) -> list[str]:
    """The deployed releases by name."""
    folders = (path.parent for path in workspace.releases.glob(f"[!.]*/{NAME}"))
    return sorted(folder.name for folder in folders if not folder.is_symlink())


def release_folder(workspace: Workspace, name: str) -> Path:
    """The folder of a deployed release; "current" is one too.

    Raises:
        SoukError: there is none of that name, or another is in its folder: answers and logs would name that one.
    """
    if name == "current":
        name = workspace.current_release() or name
    names = release_names(workspace)
    if not names:
        raise workspace.no_release("a deployed release", f"{name!r}, and {workspace.root} has none")
    if name not in names:
        raise unknown("a deployed release", name, names)
    folder, own = workspace.releases / name, name
    with contextlib.suppress(SoukError):  # damaged: who reads it tells
        own = read_manifest(folder)["name"]
    if own != name:
        raise SoukError(f"release {name} in {folder}", own, f"Call the folder {own}, or remove it: it is a copy.")
    return folder


def history(workspace: Workspace) -> list[str]:
    """The releases that were current before this one and are there still, the last at the end."""
    names = (name for name in _read(workspace, HISTORY) if name != workspace.current_release())
    return [name for name in names if (workspace.releases / name).is_dir()]


def rolled_back(workspace: Workspace) -> list[str]:
    """The releases that somebody went back from: a pipeline run does not make them current again."""
    return _read(workspace, ROLLED_BACK)


def point(workspace: Workspace, name: str) -> None:
    """Makes `name` current. A reader sees the old release or the new one, never neither.

    The history is written first: killed in between, it ends with the release that is still current, which `history`
    leaves out.
    """
    with alone(workspace):
        # Nobody deletes it between this look and the move; "current" becomes the name that it stands for.
        _point(workspace, release_folder(workspace, name).name)


def kept_back(workspace: Workspace, name: str, judged: Collection[str] | None) -> str:
    """Why a pipeline run does not make a release current; "" where it does.

    Args:
        workspace: of the release.
        name: its name.
        judged: the releases that the gate let it replace; None of one that was packaged before anybody noted them.
    """
    current = workspace.current_release()
    if name in rolled_back(workspace):
        return f"{name} was rolled back and stays so"
    if judged is None or current in {"", name, *judged}:
        return ""
    return f"{name} was not compared with {current}, which has become current since; the next run does that"


def promote(workspace: Workspace, name: str, judged: Collection[str] | None) -> str:
    """Makes `name` current, unless it is `kept_back`; returns why, "" where it is current."""
    with alone(workspace):  # so that nobody goes back, or another run deploys, between this look and the move
        why = kept_back(workspace, name, judged)
        if not why:
            _point(workspace, release_folder(workspace, name).name)
        return why


def rollback(workspace: Workspace, name: str = "") -> tuple[str, str]:
    """Makes the release before the current one current again, or `name`; returns the names of both, "" for none.

    The one that was current counts as rolled back from then on, and the one that is no longer does.

    Raises:
        SoukError: there is none, it is damaged, or it is the current one.
    """
    with alone(workspace):
        return _rollback(workspace, name)


def refuse(workspace: Workspace, name: str) -> None:
    """Counts a release that was never current as rolled back: a canary that somebody ended."""
    with alone(workspace):
        if name in release_names(workspace) and name != workspace.current_release():
            _write(workspace, ROLLED_BACK, sorted({*rolled_back(workspace), name}))


def _point(workspace: Workspace, name: str) -> None:
    current = workspace.current_release()
    if name == current:
        return
    if current:
        _write(workspace, HISTORY, [*(n for n in history(workspace) if n != name), current])
    _link(workspace, name)


def _rollback(workspace: Workspace, name: str) -> tuple[str, str]:
    before = history(workspace)
    if not name and not before:
        remedy = "`souk rollback NAME` goes to any of `souk release list`."
        raise SoukError("a release before the current one", "none", remedy)
    folder, current = release_folder(workspace, name or before[-1]), workspace.current_release()
    target = folder.name
    if target == current and target not in rolled_back(workspace):  # where a killed rollback has left it
        remedy = "`souk release list` shows what there is; without a name it goes back to the one before."
        raise SoukError("another release than the current one", f"{target}, which is current", remedy)
    verify(folder)
    refused = {*rolled_back(workspace), current} - {target, ""}
    _write(workspace, ROLLED_BACK, sorted(refused))
    if name:
        _point(workspace, target)
    else:
        _link(workspace, target)
        _write(workspace, HISTORY, before[:-1])
    return current, target


def forget(workspace: Workspace, names: Collection[str]) -> None:
    """Takes releases that are gone out of the history, where one of the name may come again; with the pointer held."""
    left = _read(workspace, HISTORY)
    if {*left} & {*names}:
        _write(workspace, HISTORY, [name for name in left if name not in names])


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """One mover of the pointer at a time: a rollback while a run deploys loses nothing of the history."""
    if not workspace.releases.is_dir():
        remedy = "Name the workspace with --workspace, or make a release with `souk run`."
        raise SoukError(f"a workspace with releases at {workspace.root}", "none", remedy)
    with (workspace.releases / ".pointer.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _link(workspace: Workspace, name: str) -> None:
    fresh = workspace.releases / ".current.partial"  # of the one mover: what a killed one left goes
    fresh.unlink(missing_ok=True)
    os.symlink(name, fresh)
    os.replace(fresh, workspace.current)


def _read(workspace: Workspace, file: str) -> list[str]:
    path = workspace.releases / file
    text = path.read_bytes() if path.exists() else b"[]"
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SoukError(f"{path} to be a list of names", repr(text[:40]), f"Delete it: {WITHOUT[file]}.")
    return names


def _write(workspace: Workspace, file: str, names: list[str]) -> None:
    path = workspace.releases / file
    try:
        with placed(path) as fresh, fresh.open("w", encoding="utf-8") as out:
            json.dump(names, out)
            out.flush()
            os.fsync(out.fileno())  # a machine that loses power may keep the new name and lose what is in it
    except OSError as error:
        error.filename = str(path)  # of a write that fails the system names no file
        raise
