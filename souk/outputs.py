"""Places that whoever runs a command names: what Souk did not write there itself is never deleted, folder or file.

All commands ask here before any long work, and again before they write. A folder that Souk wrote has a mark with the
digest of each file, so that one that was added or changed since is known; a file is known by its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from souk.errors import FULL, SoukError

MARK = ".written-by-souk"  # in a folder: the digests of its files
REMEDY = "Name another {} by {}, or move it away."
Known = Callable[[Path], bool]  # whether a file has what a command writes


def free_folder(place: str | Path, option: str = "--output") -> None:
    """Sees that a folder may be written, and replaced, at `place`.

    Raises:
        SoukError: something stands there that Souk did not write, or that was changed since; or nobody may write.
    """
    for path in others(Path(place)):
        expected = f"{place} to be new, empty, or as this command wrote it before"
        raise SoukError(expected, f"{path}, which another made", REMEDY.format("folder", option))
    above = next(path for path in Path(os.path.abspath(place)).parents if os.path.lexists(path))
    _writable(place, above, option)


def free_artifact(place: str | Path, ours: Known, what: str) -> None:
    """Sees that a step may replace what stands at `place`.

    Args:
        place: a folder.
        ours: whether what is there, and is no empty folder, is what the step writes.
        what: the step writes.

    Raises:
        SoukError: it is not.
    """
    place = Path(place)
    empty = place.is_dir() and not any(place.iterdir())
    if os.path.lexists(place) and not empty and not ours(place):
        remedy = "Name another place, or move it away."
        raise SoukError(f"{what} at {place}, or nothing", "what another made, which stays", remedy)


def free_file(place: str | Path, known: Known, option: str = "--output") -> None:
    """Sees that a file may be written, and replaced, at `place`.

    Args:
        place: the file.
        known: whether what stands there is what this command writes; an empty file is anybody's.
        option: what names the place.

    Raises:
        SoukError: something stands there that this command did not write, or nobody may write.
    """
    place = Path(place)
    remedy = f"Name another file by {option}."
    if os.path.lexists(place) and (place.is_symlink() or not place.is_file()):
        kind = "a link" if place.is_symlink() else "a folder" if place.is_dir() else "no plain file"
        raise SoukError("a file to write", f"{place}, which is {kind}", remedy)
    if not place.parent.is_dir():
        raise SoukError(f"a folder for {place}", f"{place.parent} is none", f"Make it. {remedy}")
    if place.exists() and place.stat().st_size and not _is(known, place):
        expected = f"{place} to be new, empty, or what this command wrote before"
        raise SoukError(expected, f"{place}, which another made", REMEDY.format("file", option))
    _writable(place, place.parent, option)


def mark(folder: Path, *beside: Path) -> None:
    """Writes the mark of a folder that is whole; it tells of files beside it too."""
    made = {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    made |= {f"../{path.name}": _digest(path) for path in beside}
    (folder / MARK).write_text(json.dumps(made, indent=1), encoding="utf-8")


def others(folder: Path, *beside: Path) -> Iterator[Path]:
    """What stands at `folder`, or at the places beside it, and is not as its mark tells."""
    made = _made(folder)
    if made is None:
        if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir() or any(folder.iterdir())):
            yield folder
        made = {}
    else:
        above = {str(parent) for name in made for parent in Path(name).parents}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            inner = name in above and path.is_dir() and not path.is_symlink()
            if name != MARK and not inner and made.get(name) != _digest(path):
                yield path
    for path in beside:
        if os.path.lexists(path) and made.get(f"../{path.name}") != _digest(path):
            yield path


def lines_with(*keys: Collection[str]) -> Known:
    """Of a file of JSON lines, each of which has all of one of these sets of keys, and no other."""
    sets = [set(each) for each in keys]

    def known(place: Path) -> bool:
        with place.open("rb") as file:
            return all(isinstance(found := json.loads(line), dict) and set(found) in sets for line in file)

    return known


def json_with(*keys: str) -> Known:
    """Of one JSON object, which has at least these keys."""

    def known(place: Path) -> bool:
        found = json.loads(place.read_bytes())
        return isinstance(found, dict) and set(keys) <= set(found)

    return known


def text_with(*patterns: str) -> Known:
    """Of a text in which each of the patterns is found."""

    def known(place: Path) -> bool:
        text = place.read_text(encoding="utf-8-sig")
        return all(re.search(pattern, text, re.MULTILINE) for pattern in patterns)

    return known


# What several packages write, or what is asked for before a package is loaded.
ANSWERS = lines_with({"user_id", "items", "scores", "release", "degraded"}, {"error"})
DRIFT_REPORT = text_with(r"\A<!doctype html>", r"^<title>Souk: drift of ")
ALARM = json_with("release", "window", "features")
CONFIG = text_with(r"^name\s*:", r"^data\s*:", r"^objectives\s*:")


def _is(known: Known, place: Path) -> bool:
    try:
        return known(place)
    except (ValueError, RecursionError):  # other bytes, or no JSON
        return False


def _writable(place: str | Path, folder: Path, option: str) -> None:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK) or not _takes_files(folder):
        received = "none" if folder.is_dir() else f"{folder}, which is no folder"
        raise SoukError(f"a right to write {place}", received, f"Name another place by {option}.")


def _takes_files(folder: Path) -> bool:
    """Whether a file can be made in a folder: root has every right, in /proc too. That a disk is full others tell."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return error.errno in FULL


def _made(folder: Path) -> dict[str, str] | None:
    """What the mark of a folder tells; None where there is none."""
    try:
        made = None if folder.is_symlink() else json.loads((folder / MARK).read_bytes())
    except (OSError, ValueError):
        return None
    return made if isinstance(made, dict) else None


def _digest(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
