"""Where impressions go: part files by the hour, on a disk or in an object store; others implement the same."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Protocol

import fsspec
import pyarrow.parquet as pq

from souk.errors import SoukError, shown
from souk.readers.files import first_line
from souk.readers.storage import storage
from souk.serving.impressions.records import Record, to_table
from souk.serving.process_name import started

logger = logging.getLogger(__name__)
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Written:
    """What became of records.

    Args:
        count: how many are where they belong.
        waiting: those to be tried again.
        dropped: how many can never be written.
        error: why some wait, "" where none does; what was raised as it is, for the log to tell.
    """

    count: int
    waiting: Sequence[Record] = ()
    dropped: int = 0
    error: Exception | str = ""


class Sink(Protocol):
    """Takes records in one thread.

    Args:
        name: in metrics.
        part: how many records it is handed at once, after a fault, when many wait.
        parts: the number of the next part file, where it writes any.
    """

    name: str
    part: int
    parts: int

    def write(self, records: Sequence[Record]) -> Written:
        """Writes records; raises nothing that a broken disk, store or broker would explain."""

    def rows_of(self, writer: str, parts: int) -> int:
        """The records that a writer has written beyond so many part files."""

    def close(self) -> None:
        """Lets go of what it holds open."""


class PartFiles:
    """`<where>/<date>/<hour>/<writer>-<number>.parquet`, by the hour of the answer, UTC. Each appears whole.

    A store that is away as a server starts is opened by the first flush that reaches it: slates wait for no log.

    Args:
        where: a folder, or the URL of an object store (souk.readers.storage).
        writer: part of every file name, different for each process that writes here.

    Raises:
        SoukError: the URL's kind is not known, or its driver is not installed.
    """

    name = "files"
    part = 500  # a table of more takes much memory

    def __init__(self, where: str | Path, writer: str) -> None:
        self._where, self._writer, self.parts = str(where), writer, 0
        try:
            _ = self._opened
        except OSError as error:
            logger.error("impressions wait for %s: %s", shown(self._where), first_line(error))
        except (ImportError, ValueError) as error:
            remedy = "Give a folder, mend the address, or install the driver that it names."
            raise SoukError(f"a place for impressions at {shown(self._where)}", first_line(error), remedy) from error

    @cached_property
    def _opened(self) -> tuple[fsspec.AbstractFileSystem, str]:
        """The file system, and the path in it; what fails is tried again by the next flush."""
        return storage(self._where, attempts=1)

    def write(self, records: Sequence[Record]) -> Written:
        """A file for each hour; where one is refused, its records and those after it wait."""
        written = dropped = 0
        for hour, group in groupby(records, key=lambda record: record[0] // HOUR_MS):
            own = list(group)
            content, bad = _encoded(own)
            try:
                if content:
                    self._put(self._folder(hour), f"{self._writer}-{self.parts:06d}.parquet", content)
            except Exception as error:  # whatever a file system or the driver of a store raises
                left = records[written + dropped :]
                return Written(written, left, dropped, error)
            written, dropped = written + len(own) - bad, dropped + bad
        return Written(written, (), dropped)

    def rows_of(self, writer: str, parts: int) -> int:
        """The rows of the part files from that number on; only where the writer can have put any is looked."""
        found = 0
        try:
            for name in self._since(started(writer) // HOUR_MS):
                own, _, number = name.rsplit("/", 1)[-1].removesuffix(".parquet").rpartition("-")
                if own == writer and number.isdecimal() and int(number) >= parts:
                    with self._opened[0].open(name, "rb") as file:
                        found += int(pq.read_metadata(file).num_rows)
        except Exception as error:  # of a store that is down: what may be there counts as lost
            logger.warning("%s: %s: %s", shown(self._where), type(error).__name__, error)
        return found

    def close(self) -> None:
        """Nothing is open."""

    def _since(self, hour: int) -> Iterator[str]:
        """The files of that hour and of all that followed: a log may have a year of them."""
        date, first = self._folder(hour).rsplit("/", 2)[1:]
        fs, root = self._opened
        for day in fs.ls(root, detail=False):
            if (name := day.rsplit("/", 1)[-1]) >= date and name[:1].isdecimal():
                for folder in fs.ls(day, detail=False):
                    if (name, folder.rsplit("/", 1)[-1]) >= (date, first):
                        yield from fs.ls(folder, detail=False)

    def _folder(self, hour: int) -> str:
        moment = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC)
        return f"{self._opened[1]}/{moment:%Y-%m-%d}/{moment:%H}"

    def _put(self, folder: str, name: str, content: bytes) -> None:
        fs = self._opened[0]
        if "file" in fs.protocol:
            os.makedirs(folder, exist_ok=True)
            part = Path(folder) / f".{name}.part"
            try:
                part.write_bytes(content)
                os.replace(part, Path(folder) / name)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        else:
            fs.pipe_file(f"{folder}/{name}", content)  # a store shows an object when it is whole
        self.parts += 1


def _encoded(records: Sequence[Record]) -> tuple[bytes, int]:
    """A Parquet file of records, b"" for none, and how many cannot be in any."""
    try:
        return _parquet(records), 0
    except Exception:  # the same records would fail again, and hold up all that follow
        good = [record for record in records if _encodable(record)]
        logger.exception("%d impressions cannot be written", len(records) - len(good))
        return _parquet(good) if good else b"", len(records) - len(good)


def _encodable(record: Record) -> bool:
    try:
        return bool(_parquet([record]))
    except Exception:
        return False


def _parquet(records: Sequence[Record]) -> bytes:
    content = io.BytesIO()
    pq.write_table(to_table(records), content, compression="zstd")
    return content.getvalue()
