"""What was upserted, on disk: a file of JSON lines, each with a checksum, to which lines are added."""

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

from souk.folders import placed

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

    def thin(self) -> int:
        """Leaves out the rows that later ones have overtaken, where these are half of all; returns how many.

        Raises:
            OSError: the disk did not take it; the log is what it was.
        """
        seen = self.read()
        if not seen.rows or 2 * len(_overtaken(seen)) < len(seen.rows):
            return 0
        with self._locked() as file:
            self._take_back(file)
            content = self._path.read_bytes()[: _end(file)]
            gone = _overtaken(_parsed(content))
            with placed(self._path) as fresh, fresh.open("wb") as new:
                new.write(_without(content, gone))
                new.flush()
                os.fsync(new.fileno())
            _sync(self._path.parent)
        return len(gone)

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
        file = self._opened()
        try:
            if new:
                _sync(self._path.parent)
                _sync(self._path.parent.parent)
            yield file
        finally:
            os.close(file)  # which gives the lock back

    def _opened(self) -> int:
        """The locked file that has the log's name now: another may have had it when the wait for its lock began."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(self._path)):
                    return file
            os.close(file)


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


def _overtaken(logged: Logged) -> set[int]:
    """The numbers of the rows that change nothing any more: a later one of the item says all that they say.

    A row that made its item stays: a release that never had the item has it from there.
    """
    later: dict[str, list[tuple[set[str], int]]] = {}
    gone = set()
    for number in reversed(range(len(logged.rows))):
        row, at = logged.rows[number], logged.times[number]
        said = later.setdefault(row["item_id"], [])
        if not logged.created[number] and any(row.keys() <= names and at <= time for names, time in said):
            gone.add(number)
        else:
            said.append((set(row), at))
    return gone


def _without(content: bytes, gone: Collection[int]) -> bytes:
    """The lines but those of the rows of these numbers; damaged ones stay, to be counted."""
    kept, number = list[bytes](), 0
    for line in content.split(b"\n")[:-1]:
        record = _record(line)
        is_row = record is not None and "settled" not in record
        if not is_row or number not in gone:
            kept.append(line + b"\n")
        number += is_row
    return b"".join(kept)


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
