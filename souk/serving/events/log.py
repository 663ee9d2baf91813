"""Events as they came, on disk: files of JSON lines that `ingest` reads, each line with a checksum.

`<folder>/<date>/<hour>-<writer>-<number>.jsonl`, by the hour of arrival (UTC). A file that still grows has a name with
a dot in front, `.<hour>-<writer>-<number>.open`, which readers of data pass over; when its hour is over, it is large or
the disk refused something, it is renamed and never changes again. So nothing comes in the place of what was refused and
cut off: who read that there would miss it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

logger = logging.getLogger(__name__)
HOUR_MS = 3_600_000
MOST_BYTES = 16 << 20  # of a file: one is taken into the states as a whole
CHECKSUM = b',"_crc32":"%08x"}'  # of the line as it is without it
END = len(CHECKSUM % 0)


@dataclass(frozen=True)
class Recovered:
    """What processes that ended left open.

    Args:
        torn: files whose last line was not whole, and is cut off: it was never answered for.
        closed: files that are closed now.
    """

    torn: int
    closed: int


class EventLog:
    """The log of one workspace, and this process's file in it; another process writes files of its own.

    Args:
        folder: need not exist.
        writer: part of the file names, different for each process.
        clock: UTC epoch milliseconds.
        most_bytes: a file of this size is closed.
    """

    def __init__(self, folder: Path, writer: str, clock: Callable[[], int], most_bytes: int = MOST_BYTES) -> None:
        self.folder, self._writer, self._clock, self._most = folder, writer, clock, most_bytes
        self._file: int | None = None
        self._path = folder
        self._size = self._number = self._hour = 0
        self._dirty = False  # bytes behind the size may be there, of a write that failed
        self._refused = False  # a write to the file failed

    def recover(self) -> Recovered:
        """Closes the files of processes that are gone, but for their last line where it is not whole."""
        torn = closed = 0
        for path in sorted(self.folder.glob("*/.*.open")):
            try:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    content = file.read()
                    end = content.rfind(b"\n") + 1
                    torn += end < len(content)
                    file.truncate(end)
                    os.fsync(file)
                    closed += _close(path, end)
            except (BlockingIOError, FileNotFoundError, PermissionError):
                continue  # its process lives, or closed it, or is another user's
            except OSError as error:  # of this file alone, as one of which a network file system lost hold
                logger.warning("%s of the events is left open: %s: %s", path, type(error).__name__, error)
        return Recovered(torn, closed)

    def files(self) -> list[Path]:
        """Every file with whole lines to read, in the order of their hours: closed ones, and those that grow."""
        return every_file(self.folder)

    @property
    def current(self) -> Path | None:
        """The file that grows by this process."""
        return self._path if self._file is not None else None

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Writes rows and waits until they are on the disk.

        Args:
            rows: events, of JSON values.

        Raises:
            OSError: the disk did not take them. Then none of them is in the log, or, where the disk does not let go of
                them either, nothing is written before they are out of it.
        """
        if self._refused:
            self.close()
        elif self._file is not None and not self._whole(self._file):
            self._leave(self._file)
        file = self._opened()
        text = b"".join(line(row) for row in rows)
        try:
            _write_whole(file, text, self._size)
            os.fsync(file)
        except OSError:
            self._dirty = self._refused = True
            with contextlib.suppress(OSError):
                self._cut(file)
            raise
        self._size += len(text)

    def rotate(self) -> Path | None:
        """Closes the file whose hour is over, that is large, or to which the disk refused something; its name from now
        on, None where it goes on."""
        goes_on = self._clock() // HOUR_MS == self._hour and self._size < self._most and not self._refused
        if self._file is None or goes_on:
            return None
        return self.close()

    def close(self) -> Path | None:
        """Closes the file; its name from now on, None where nothing was in it."""
        if self._file is None:
            return None
        if not self._whole(self._file):
            self._leave(self._file)
            return None
        if self._dirty:
            self._cut(self._file)
        _close(self._path, self._size)
        os.close(self._file)  # only now: whoever finds the open name would take the file for left behind
        closed, self._file = closed_name(self._path), None
        return closed if self._size else None

    def _whole(self, file: int) -> bool:
        """Whether what stands at the path is this file, as it was written."""
        try:
            written, there = os.fstat(file), os.stat(self._path)
        except FileNotFoundError:
            return False
        size = there.st_size >= self._size if self._dirty else there.st_size == self._size
        return size and os.path.samestat(written, there)

    def _leave(self, file: int) -> None:
        """Writes no more to a file that someone else changed, replaced or removed, and closes what they left there."""
        logger.warning("%s was changed by another program: events go to a new file", self._path)
        self._file, self._dirty = None, False
        os.close(file)
        self.recover()

    def _cut(self, file: int) -> None:
        os.ftruncate(file, self._size)
        os.fsync(file)
        self._dirty = False

    def _opened(self) -> int:
        while self._file is None:
            self._hour = self._clock() // HOUR_MS
            moment = datetime.fromtimestamp(self._hour * HOUR_MS / 1000, UTC)
            self._path = self.folder / f"{moment:%Y-%m-%d}" / f".{moment:%H}-{self._writer}-{self._number:06d}.open"
            self._number, self._size, self._refused = self._number + 1, 0, False
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):  # another's `recover` was faster
                if os.path.samestat(os.fstat(file), os.stat(self._path)):
                    self._file = file
                    for folder in (self._path.parent, self.folder, self.folder.parent):
                        _sync(folder)
                    return file
            os.close(file)
        return self._file


def every_file(folder: Path) -> list[Path]:
    """The files of a log in the order of their hours: closed ones, and those that grow."""
    closed, growing = folder.glob("*/[!.]*.jsonl"), folder.glob("*/.*.open")
    return sorted((*closed, *growing), key=lambda path: (path.parent.name, path.name.lstrip(".")))


def read(path: Path) -> Iterator[dict[str, Any] | None]:
    """The events of a file, oldest first, None for a line that no server wrote so; an unfinished one is none."""
    try:
        with path.open("rb") as file:
            yield from (event(each) for each in file if each.endswith(b"\n"))
    except FileNotFoundError:
        if path.suffix == ".open" and closed_name(path).exists():  # closed meanwhile
            yield from read(closed_name(path))


def line(row: dict[str, Any]) -> bytes:
    """An event as a line."""
    text = orjson.dumps(row)
    return b"%s%s\n" % (text[:-1], CHECKSUM % zlib.crc32(text))


def event(text: bytes) -> dict[str, Any] | None:
    """The inverse of `line`; None where the checksum, or what it is of, says that no server wrote it."""
    text = text.rstrip(b"\n")
    whole = text[:-END] + b"}"
    if CHECKSUM % zlib.crc32(whole) != text[-END:]:
        return None
    try:
        row: dict[str, Any] = orjson.loads(whole)
    except orjson.JSONDecodeError:
        return None
    return row


def closed_name(path: Path) -> Path:
    """The name of a file once it grows no more."""
    return path.with_name(f"{path.name.removeprefix('.').removesuffix('.open')}.jsonl")


def _close(path: Path, size: int) -> int:
    """Gives a file its last name, or removes it where nothing is in it; how many files there are of it then."""
    if size:
        os.rename(path, closed_name(path))
    else:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # after a crash it may have the name of before, and is closed again
        _sync(path.parent)
    return int(size > 0)


def _write_whole(file: int, text: bytes, place: int) -> None:
    """One write may take less than it was given, and only the next one says why."""
    while text:
        written = os.pwrite(file, text, place)
        text, place = text[written:], place + written


def _sync(folder: Path) -> None:
    """A new name is there after a crash only if its folder is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
