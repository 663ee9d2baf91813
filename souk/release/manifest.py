"""`release.json`: the name, where the release comes from, and the checksum of every other file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from souk.errors import SoukError

NAME = "release.json"
FORMAT = 11
READ = range(3, FORMAT + 1)  # the items of 3 count what was before its boundary alone; of 3 and 4 pairs have form 1
AGAIN = "`souk run` with its config puts it there again; `souk rollback` serves the one before, if any."


def write_manifest(folder: str | Path, name: str, content: dict[str, str], lineage: dict[str, Any]) -> None:
    """Writes `release.json` for what the folder holds now.

    Args:
        folder: the release.
        name: its name.
        content: digests of what the name is made of (`souk.release.naming`).
        lineage: where it comes from; no part of the name.
    """
    record = {"format": FORMAT, "name": name, "content": content, "lineage": lineage, "files": checksums(folder)}
    (Path(folder) / NAME).write_bytes(_sealed(record))


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Reads `release.json` without looking at the other files.

    Raises:
        SoukError: it is missing, or a byte of it changed.
    """
    path = Path(folder) / NAME
    try:
        text = path.read_bytes()
        record: dict[str, Any] = json.loads(text)
        del record["sha256"]
        intact, form = _sealed(record) == text, record["format"]
    except OSError as error:
        remedy = "Name the folder of a release, as .souk/releases/current; `souk run` makes one."
        raise SoukError(f"a release at {folder}", f"{NAME}: {error.strerror or error}", remedy) from error
    except ValueError as error:
        raise SoukError(f"a release at {folder}", f"{NAME} that is no JSON: {error}", AGAIN) from error
    except (KeyError, TypeError) as error:
        raise SoukError(f"{NAME} of a release, a JSON object", f"another, in {folder}", AGAIN) from error
    if not intact:
        raise SoukError(f"{path} as it was written", "a changed file", AGAIN)
    if form not in READ:
        remedy = "Another version of Souk made it: make a release anew with `souk run`, or serve it with that version."
        raise SoukError(f"a release of format {' or '.join(map(str, READ))}", f"format {form} in {path}", remedy)
    return record


def verify(folder: str | Path, only: Collection[str] | None = None) -> dict[str, Any]:
    """Checks every byte of a release and returns its manifest.

    Args:
        folder: the release.
        only: the files that are read; of the others it is seen whether they are there. None reads all.

    Raises:
        SoukError: it names each missing, unexpected and changed file.
    """
    record = read_manifest(folder)
    wanted, there = record["files"], _files(folder)
    both = wanted.keys() & there.keys()
    read = both if only is None else both & set(only)
    problems = [f"missing {name}" for name in sorted(wanted.keys() - there.keys())]
    problems += [f"unexpected {name}" for name in sorted(there.keys() - wanted.keys())]
    problems += [f"changed {name}" for name in sorted(read) if wanted[name] != _sha256(there[name])]
    if problems:
        raise SoukError(
            f"the {len(wanted)} files of {record['name']} as they were packaged",
            "; ".join(problems),
            AGAIN,
        )
    return record


def checksums(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file under the folder but `release.json` itself, by relative path."""
    return {name: _sha256(path) for name, path in _files(folder).items()}


def _files(folder: str | Path) -> dict[str, Path]:
    root = Path(folder)
    paths = sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    return {name: path for path in paths if (name := path.relative_to(root).as_posix()) != NAME}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sealed(record: dict[str, Any]) -> bytes:
    """The one form in which a record is written, with its own checksum: any other byte sequence is a changed file."""
    digest = hashlib.sha256(_canonical(record)).hexdigest()
    return _canonical({**record, "sha256": digest})


def _canonical(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()
