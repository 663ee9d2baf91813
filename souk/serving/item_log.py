"""What was upserted, on disk: an append-only file of JSON lines, each with a checksum."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 1 << 16  # bytes read at a time from the end


@dataclass(frozen=True)
class Logged:
    """What a log holds.

    Args:
        rows: as they were given, oldest first.
        times: when each was taken, UTC epoch milliseconds.
        created: whether each made its item: it was not known before.
        settled: of items that a release had after they were made: how many of `rows` are older than the note of it.
        torn: 1 where the last line is not whole (a write that was cut off, and never answered), else 0.
        damaged: whole lines that do not fit their checksums; they are passed over.
    """

    rows: tuple[dict[str, Any], ...]
    times: tuple[int, ...]
    created: tuple[bool, ...]
    settled: Mapping[str, int]
    torn: int
    damaged: int


class ItemLog:
    """A log of one workspace. Several processes may append: each takes the file's lock.

    A line is eight hex digits of the CRC-32 of what follows, a space, and `{"at": milliseconds, "created": bool,
    "item": row}`, or `{"at": milliseconds, "settled": [item ids]}`.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._refused: tuple[int, bytes] | None = None  # what a write that failed may have left, and where

    def read(self) -> Logged:
        """All that is there; changes nothing."""
        try:
            return _parsed(self._path.read_bytes())
        except FileNotFoundError:
            return _parsed(b"")

    def append(self, rows: Sequence[dict[str, Any]], created: Sequence[bool], at: int) -> None:
        """Writes rows and waits until they are on the disk; what a write that was cut off left is cut away first.

        Args:
            rows: JSON objects.
            created: whether each makes its item.
            at: when they were taken, UTC epoch milliseconds.

        Raises:
            OSError: the disk did not take them; then none of them is in the log, or, where the disk did not let go of
                them either, nothing is written before they are out of it.
        """
        pairs = zip(rows, created, strict=True)
        self._write(b"".join(_line({"at": at, "created": new, "item": row}) for row, new in pairs))

    def settle(self, items: Collection[str], at: int) -> None:
        """Notes that a release has these items, which rows above made: a later release without them means it.

        Raises:
            OSError: the disk did not take it.
        """
        self._write(_line({"at": at, "settled": sorted(items)}))

    def _write(self, text: bytes) -> None:
        with self._locked() as file:
            self._take_back(file)
            end = _end(file)
            os.ftruncate(file, end)
            try:
                _write_whole(file, text, end)
                os.fsync(file)
            except OSError:
                self._refused = end, text
                with contextlib.suppress(OSError):
                    self._take_back(file)
                raise

    def _take_back(self, file: int) -> None:
        """Cuts off what was refused. Behind lines of another process it stays as one that fits no checksum."""
        if self._refused is None:
            return
        start, text = self._refused
        size, there = os.fstat(file).st_size, os.pread(file, len(text), start)
        left = next((at for at, (one, other) in enumerate(zip(there, text, strict=False)) if one != other), len(there))
        if size <= start + left:
            os.ftruncate(file, min(size, start))
        else:
            _write_whole(file, b"#" * text[:left].rfind(b"\n"), start)
        os.fsync(file)
        self._refused = None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The file's descriptor. Nothing is buffered: what was refused must not reach the disk later."""
        new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if new:
                _sync(self._path.parent)
                _sync(self._path.parent.parent)
            yield file
        finally:
            os.close(file)  # which gives the lock back


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _write_whole(file: int, text: bytes, place: int) -> None:
    """One write may take less than it was given, and only the next one says why."""
    while text:
        written = os.pwrite(file, text, place)
        text, place = text[written:], place + written


def _end(file: int) -> int:
    """Where the last whole line ends."""
    place = os.fstat(file).st_size
    while place:
        start = max(0, place - BLOCK)
        found = os.pread(file, place - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        place = start
    return 0


def _parsed(content: bytes) -> Logged:
    *lines, rest = content.split(b"\n")
    records = [_record(line) for line in lines]
    good = [record for record in records if record is not None]
    rows: list[dict[str, Any]] = []
    settled: dict[str, int] = {}
    for record in good:
        if "settled" in record:
            settled.update(dict.fromkeys(record["settled"], len(rows)))
        else:
            rows.append(record)
    return Logged(
        tuple(record["item"] for record in rows),
        tuple(record["at"] for record in rows),
        tuple(record.get("created", False) for record in rows),
        settled,
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
