"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from souk.errors import SoukError


@contextlib.contextmanager
def placed(target: str | Path) -> Iterator[Path]:
    """Yields a path beside `target`, free to be filled; what stands there at the end takes the place of `target`.

    A process that is killed leaves `target` as it was; killed between the two renames that replace a folder, it leaves
    that beside its place, where the next call puts it back. What else it left the next call clears. Two processes take
    turns.

    Args:
        target: a folder or a file, which may exist.

    Raises:
        SoukError: a file is to take the place of a folder, or a folder that of a file. Both stay as they are.
    """
    place = Path(os.path.abspath(target))
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = _beside(place)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _tidy(place)
        try:
            yield fresh
            if place.exists() and fresh.exists() and place.is_dir() != fresh.is_dir():
                kinds = {True: "a folder", False: "a file"}
                received = f"{kinds[place.is_dir()]}, which stays"
                raise SoukError(f"{kinds[fresh.is_dir()]} to replace at {place}", received, "Name another place.")
            try:
                os.replace(fresh, place)
            except OSError:  # a rename replaces a file or an empty folder, no other folder
                os.replace(place, old)
                os.replace(fresh, place)
        finally:
            _tidy(place)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a name beside `path` to be written; the file is renamed to `path` at the end.

    Raises:
        OSError: it cannot be written; of `path`, for nobody knows the name beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    try:
        yield fresh
        os.replace(fresh, path)
    except OSError as error:
        if str(fresh) in (error.filename, error.filename2):  # the second one is what a copy is made to
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def working(place: str | Path) -> Iterator[Path]:
    """Yields an empty folder beside `place` for what is on its way, gone at the end.

    What a killed process left of it the next call clears.

    Args:
        place: names it; nothing need be there.

    Raises:
        SoukError: another process is at work there.
    """
    place = Path(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh, _ = _beside(place)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SoukError(
                f"one {place.name} at a time in {place.parent}", "another is at work there", "Wait for it."
            ) from error
        remove(fresh)
        fresh.mkdir()
        try:
            yield fresh
        finally:
            remove(fresh)


def clear(folder: str | Path) -> None:
    """Deletes what killed processes left in `folder` beside places that nobody fills now."""
    for path in Path(folder).glob(".*.lock"):
        with path.open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _tidy(path.with_name(path.name[1 : -len(".lock")]))


def _beside(place: Path) -> tuple[Path, Path]:
    """Where the new content grows, and where the old one waits; both keep the ending that some readers insist on."""
    partial, old = (place.with_name(f".{place.stem}.{end}{place.suffix}") for end in ("partial", "old"))
    return partial, old


def _tidy(place: Path) -> None:
    """Deletes what is beside `place`; where nothing has come in the place of the old content, that goes back.

    The old one is renamed before it is deleted: one that is there under its name is whole.
    """
    fresh, old = _beside(place)
    remove(fresh)
    if os.path.lexists(old):
        os.replace(old, fresh if os.path.lexists(place) else place)
        remove(fresh)


def untouched(folder: Path, since: float) -> list[Path]:
    """The folders in `folder` with no file written after `since` (seconds since the epoch), by name.

    Others may write there meanwhile: a folder from which something vanishes is touched.
    """
    return [path for path in sorted(folder.glob("*")) if path.is_dir() and _rested(path, since)]


def _rested(folder: Path, since: float) -> bool:
    try:
        return all(path.stat().st_mtime <= since for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Deletes a file or folder, if there is one; another process may do the same at the same time."""
    while path.is_dir() and not path.is_symlink():
        with contextlib.suppress(FileNotFoundError):  # the other one was faster with a file: go on with the rest
            shutil.rmtree(path)
    path.unlink(missing_ok=True)
