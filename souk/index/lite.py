"""Milvus Lite's files: built whole or not at all, sealed with checksums, and held by one process (decision 0003)."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from souk.folders import clear, placed, remove
from souk.index.interface import IndexUnavailable
from souk.index.place import SEAL

FILE = "milvus.db"  # the folder in an index artifact
UNSEALED = {SEAL, "LOCK"}  # LOCK is empty and belongs to whoever holds the folder
_users: Counter[str] = Counter()
_mutex = threading.Lock()


def hold(path: str) -> None:
    """Counts one more user of the folder in this process; Milvus Lite itself runs once per folder and process."""
    with _mutex:
        _users[os.path.abspath(path)] += 1


def drop(path: str) -> None:
    """Counts one user less, and stops Milvus Lite on this folder after the last."""
    from milvus_lite.server_manager import server_manager_instance

    key = os.path.abspath(path)
    with _mutex:
        _users[key] -= 1
        if _users[key] <= 0:
            del _users[key]
            server_manager_instance.release_server(key)


def held_here(path: str) -> bool:
    """Whether this process has the folder open."""
    with _mutex:
        return os.path.abspath(path) in _users


def held_elsewhere(path: str) -> bool:
    """Whether another process has the folder open."""
    if held_here(path):
        return False
    try:
        descriptor = os.open(Path(path) / "LOCK", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def seal(path: str, collection: str, rows: int) -> None:
    """Writes what a closed folder holds: the last act of building it."""
    record = {"collection": collection, "rows": rows, "sha256": _checksums(Path(path))}
    (Path(path) / SEAL).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def check(path: str, collection: str, rows: int) -> None:
    """Compares a folder with its seal.

    Raises:
        IndexUnavailable: it is missing, was never finished, holds something else, or a file changed.
    """
    folder = Path(path)
    try:
        record = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        found = (record["collection"], record["rows"])
        files = record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexUnavailable(
            f"a finished Milvus Lite folder at {path}", repr(error), "Load the index again."
        ) from error
    if found != (collection, rows):
        raise IndexUnavailable(f"{collection} with {rows} rows in {path}", f"{found[0]} with {found[1]} rows")
    now = _checksums(folder)
    wrong = sorted(name for name in files.keys() | now.keys() if files.get(name) != now.get(name))
    if wrong:
        raise IndexUnavailable(f"the files of {path} as they were built", f"changed: {', '.join(wrong)}")


def copy(source: str, path: str) -> None:
    """Copies a sealed folder to `path`, whole or not at all."""
    with placed(path) as fresh:
        shutil.copytree(source, fresh)


def sweep(folder: str | Path, keep: Collection[str]) -> list[str]:
    """Deletes the collections of `folder` that are not in `keep` and that no process holds; returns their names."""
    clear(folder)
    gone = [path for path in sorted(Path(folder).glob("[!.]*.db")) if path.stem not in keep]
    gone = [path for path in gone if not held_here(str(path)) and not held_elsewhere(str(path))]
    for path in gone:
        remove(path)
    return [path.stem for path in gone]


def _checksums(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in UNSEALED)
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
