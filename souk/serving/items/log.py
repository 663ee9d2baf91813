"""What was upserted, on disk: a file of JSON lines, each with a checksum, to which lines are added."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from souk.folders import placed
from souk.serving.items.lines import Logged, line, overtaken, parsed, without

BLOCK = 1 << 16  # bytes read at a time from the end


@dataclass(frozen=True)
class Mark:
    """A place in a log: behind so many bytes of whole lines of the file with a number."""

    file: tuple[int, int] = (0, 0)  # device and inode: who thins a log puts another file in its place
    bytes: int = 0


class ItemLog:
    """A log of one workspace. Several processes may append: each takes the file's lock.

    A line is eight hex digits of the CRC-32 of what follows, a space, and `{"at": milliseconds, "created": bool,
    "item": row}`, with `"sold": true` where a purchase ended it, or `{"at": milliseconds, "settled": [item ids]}`.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mark = Mark()  # up to where its owner has taken the log: what is behind is news
        self._refused: tuple[int, bytes] | None = None  # what a write that failed may have left, and where

    def read(self) -> Logged:
        """All that is there; changes nothing."""
        try:
            return parsed(self._path.read_bytes())
        except FileNotFoundError:
            return parsed(b"")

    def news(self) -> tuple[Logged, Mark]:
        """What lies behind `mark`, and the mark behind that; all of it where the log was thinned meanwhile.

        Opening asks a network disk for the file of now, and without news that is all. What is being written is waited
        for: it may still be refused.
        """
        try:
            file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return parsed(b""), self.mark
        try:
            if _mark(file, os.fstat(file).st_size) == self.mark:
                return parsed(b""), self.mark
            fcntl.flock(file, fcntl.LOCK_SH)
            size = os.fstat(file).st_size
            known = self.mark.bytes if self.mark.file == _mark(file, 0).file and self.mark.bytes <= size else 0
            content = _read_whole(file, known, size)
            whole = known + content.rfind(b"\n") + 1
            return parsed(content), _mark(file, whole)
        finally:
            os.close(file)

    def append(self, rows: Sequence[dict[str, Any]], created: Sequence[bool], at: int, sold: bool = False) -> bool:
        """Writes rows and waits until they are on the disk; what a write that was cut off left is cut away first.

        Args:
            rows: JSON objects.
            created: whether each makes its item.
            at: when they were taken, UTC epoch milliseconds.
            sold: whether they are ends of items by purchases.

        Returns:
            whether they are all that was behind `mark`, which is behind them then. Where they are not, what others
            wrote before them is news, and so are they.

        Raises:
            OSError: the disk did not take them; then none of them is in the log, or, where the disk did not let go of
                them either, nothing is written before they are out of it.
        """
        why = {"sold": True} if sold else {}
        pairs = zip(rows, created, strict=True)
        return self._write(b"".join(line({"at": at, "created": new, **why, "item": row}) for row, new in pairs))

    def settle(self, items: Collection[str], at: int) -> None:
        """Notes that a release has these items, which rows above made: a later release without them means it.

        Raises:
            OSError: the disk did not take it.
        """
        self._write(line({"at": at, "settled": sorted(items)}))

    def thin(self) -> int:
        """Leaves out the rows that later ones have overtaken, where these are half of all; returns how many.

        Raises:
            OSError: the disk did not take it; the log is what it was.
        """
        seen = self.read()
        if not seen.rows or 2 * len(overtaken(seen)) < len(seen.rows):
            return 0
        with self._locked() as file:
            self._take_back(file)
            content = self._path.read_bytes()[: _end(file)]
            known = self.mark == _mark(file, len(content))
            gone = overtaken(parsed(content))
            with placed(self._path) as fresh, fresh.open("wb") as new:
                new.write(without(content, gone))
                new.flush()
                os.fsync(new.fileno())
                mark = _mark(new.fileno(), new.tell())
            _sync(self._path.parent)
        self.mark = mark if known else self.mark
        return len(gone)

    def _write(self, text: bytes) -> bool:
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
            known = end == 0 or self.mark == _mark(file, end)
            if known:
                self.mark = _mark(file, end + len(text))
            return known

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


def _mark(file: int, size: int) -> Mark:
    seen = os.fstat(file)
    return Mark((seen.st_dev, seen.st_ino), size)


def _read_whole(file: int, start: int, end: int) -> bytes:
    """One read may give less than it was asked for."""
    parts = list[bytes]()
    while start < end and (part := os.pread(file, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


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


def _sync(folder: Path) -> None:
    """A new file is there after a crash only if its folder is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
