"""What was upserted, on disk: a file of JSON lines, each with a checksum, to which lines are added."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from souk.folders import placed
from souk.serving.items.lines import Logged, behind, line, line_numbers, overtaken, parsed, without

BLOCK = 1 << 16  # bytes read at a time from the end
WAIT_SECONDS, AGAIN_SECONDS = 1.0, 0.05  # for the lock of another, and where the wait before was in vain
PAUSE_SECONDS = 0.002
HELD = "another process holds its lock for too long; it is stopped, perhaps"


@dataclass(frozen=True)
class Mark:
    """A place in a log: behind so many bytes of whole lines of the file with a number, the last of which is a line."""

    file: tuple[int, int] = (0, 0)  # device and inode: who thins a log puts another file in its place
    bytes: int = 0
    line: int = 0


@dataclass(frozen=True)
class News:
    """What lies behind a mark.

    Args:
        logged: the lines.
        mark: behind them.
        again: whether they may hold what lies before the mark, too: it is another log, or one that was cut off.
    """

    logged: Logged
    mark: Mark
    again: bool = False


class ItemLog:
    """A log of one workspace. Several processes may append: each takes the file's lock, which the system lets go of
    with the process. One that is stopped keeps it: then the others get a `TimeoutError`, and do not wait for long.

    A line is eight hex digits of the CRC-32 of what follows, a space, and `{"at": milliseconds, "created": bool,
    "item": row}`, with `"sold": true` where a purchase ended it, or `{"at": milliseconds, "settled": [item ids]}`. It
    says its number as `"line"` where lines before it were left out.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.mark = Mark()  # up to where its owner has taken the log: what is behind is news
        self._refused: tuple[int, bytes] | None = None  # what a write that failed may have left, and where
        self._in_vain = False  # whether the last wait for the lock was

    def read(self) -> Logged:
        """All that is there; changes nothing."""
        try:
            return parsed(self._path.read_bytes())
        except FileNotFoundError:
            return parsed(b"")

    def news(self) -> News:
        """What lies behind `mark`, in a log that was thinned meanwhile too.

        Opening asks a network disk for the file of now, and without news that is all. What is being written is waited
        for: it may still be refused.

        Raises:
            OSError: it cannot be read, or another writes for too long.
        """
        try:
            file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return News(parsed(b""), self.mark)
        try:
            if self._is_at(file, os.fstat(file).st_size):
                return News(parsed(b""), self.mark)
            self._lock(file, fcntl.LOCK_SH)
            start, content = self._behind(file, os.fstat(file).st_size)
        finally:
            os.close(file)
        return self._news(start, content)

    def _is_at(self, file: int, size: int) -> bool:
        return (_id(file), size) == (self.mark.file, self.mark.bytes)

    def _behind(self, file: int, size: int) -> tuple[Mark, bytes]:
        """What lies behind `mark`, and from where it was read; all of it where that is another file or longer."""
        start = self.mark if self.mark.file == _id(file) and self.mark.bytes <= size else Mark(_id(file))
        return start, _read_whole(file, start.bytes, size)

    def _news(self, start: Mark, content: bytes) -> News:
        numbers, again = line_numbers(content, start.line), self.mark != Mark() and self.mark != start
        last = numbers[-1] if numbers else start.line
        mark = Mark(start.file, start.bytes + content.rfind(b"\n") + 1, last)
        if again and len(numbers) < last and last >= self.mark.line:  # thinned
            content, again = behind(content, numbers, self.mark.line), False
        return News(parsed(content), mark, again)

    def append(
        self, rows: Sequence[dict[str, Any]], created: Sequence[bool], at: int, sold: bool = False
    ) -> News | None:
        """Writes rows and waits until they are on the disk; what a write that was cut off left is cut away first.

        Args:
            rows: JSON objects.
            created: whether each makes its item.
            at: when they were taken, UTC epoch milliseconds.
            sold: whether they are ends of items by purchases.

        Returns:
            None where they are all that was behind `mark`, which is behind them then. Where others wrote before them,
            what they wrote is news, and so are they.

        Raises:
            OSError: the disk did not take them; then none of them is in the log, or, where the disk did not let go of
                them either, nothing is written before they are out of it.
        """
        why = {"sold": True} if sold else {}
        pairs = zip(rows, created, strict=True)
        found = self._write(b"".join(line({"at": at, "created": new, **why, "item": row}) for row, new in pairs))
        return None if found is None else self._news(*found)

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
        seen = self._path.read_bytes() if self._path.exists() else b""
        seen = seen[: seen.rfind(b"\n") + 1]
        logged = parsed(seen)
        gone = overtaken(logged)
        if not logged.rows or 2 * len(gone) < len(logged.rows):
            return 0
        kept = without(seen, gone)  # before the others have to wait
        with self._locked() as file:
            self._take_back(file)
            content = _read_whole(file, 0, _end(file))
            if not content.startswith(seen):  # something was refused meanwhile, or another thinned it
                return 0
            known = self._is_at(file, len(content))
            with placed(self._path) as fresh, fresh.open("wb") as new:
                new.write(kept)
                new.write(content[len(seen) :])
                new.flush()
                os.fsync(new.fileno())
                mark = Mark(_id(new.fileno()), new.tell(), self.mark.line)
            _sync(self._path.parent)
        self.mark = mark if known else self.mark
        return len(gone)

    def _write(self, text: bytes) -> tuple[Mark, bytes] | None:
        """Adds lines; what is behind `mark` by then, and from where, or None where they alone are and it has moved."""
        with self._locked() as file:
            self._take_back(file)
            end = _end(file)
            os.ftruncate(file, end)
            known = end == 0 or self._is_at(file, end)
            start, before = (Mark(), b"") if known else self._behind(file, end)
            try:
                _write_whole(file, text, end)
                os.fsync(file)
            except OSError:
                self._refused = end, text
                with contextlib.suppress(OSError):
                    self._take_back(file)
                raise
            if known:
                self.mark = Mark(_id(file), end + len(text), (self.mark.line if end else 0) + text.count(b"\n"))
            return None if known else (start, before + text)

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
            try:
                self._lock(file, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(file), os.stat(self._path)):
                    return file
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _lock(self, file: int, kind: int) -> None:
        until = time.monotonic() + (AGAIN_SECONDS if self._in_vain else WAIT_SECONDS)
        self._in_vain = True
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(errno.ETIMEDOUT, HELD, str(self._path)) from None
                time.sleep(PAUSE_SECONDS)
            else:
                self._in_vain = False
                return


def _id(file: int) -> tuple[int, int]:
    seen = os.fstat(file)
    return seen.st_dev, seen.st_ino


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
