"""What was upserted, on disk: an append-only file of JSON lines, each with a checksum."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 1 << 16  # bytes read at a time from the end


@dataclass(frozen=True)
class Logged:
    """What a log holds.

    Args:
        rows: as they were given, oldest first.
        times: when each was taken, UTC epoch milliseconds.
        torn: 1 where the last line is not whole (a write that was cut off, and never answered), else 0.
        damaged: whole lines that do not fit their checksums; they are passed over.
    """

    rows: tuple[dict[str, Any], ...]
    times: tuple[int, ...]
    torn: int
    damaged: int


class ItemLog:
    """A log of one workspace. Several processes may append: each takes the file's lock.

    A line is eight hex digits of the CRC-32 of what follows, a space, and `{"at": milliseconds, "item": row}`.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Logged:
        """All that is there; changes nothing."""
        try:
            return _parsed(self._path.read_bytes())
        except FileNotFoundError:
            return Logged((), (), 0, 0)

    def append(self, rows: Sequence[dict[str, Any]], at: int) -> None:
        """Writes rows and waits until they are on the disk; what a write that was cut off left is cut away first.

        Args:
            rows: JSON objects.
            at: when they were taken, UTC epoch milliseconds.

        Raises:
            OSError: the disk did not take them; then none of them is in the log.
        """
        text = b"".join(_line({"at": at, "item": row}) for row in rows)
        with self._locked() as file:
            end = _end(file)
            file.truncate(end)
            file.seek(end)
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if new:
                _sync(self._path.parent)
            yield file


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _end(file: BinaryIO) -> int:
    """Where the last whole line ends."""
    place = file.seek(0, os.SEEK_END)
    while place:
        start = max(0, place - BLOCK)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        place = start
    return 0


def _parsed(content: bytes) -> Logged:
    *lines, rest = content.split(b"\n")
    records = [_record(line) for line in lines]
    good = [record for record in records if record is not None]
    return Logged(
        tuple(record["item"] for record in good),
        tuple(record["at"] for record in good),
        int(bool(rest)),
        len(records) - len(good),
    )


def _record(line: bytes) -> dict[str, Any] | None:
    digits, _, text = line.partition(b" ")
    if digits != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def _sync(folder: Path) -> None:
    """A new file is there after a crash only if its folder is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
