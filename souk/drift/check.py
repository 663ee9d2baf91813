"""One pass over an impression log: what is new in it since the last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from souk.drift.impressions import part_files, records
from souk.drift.rows import Row, RowReader
from souk.drift.windows import Monitor, Window
from souk.errors import SoukError


@dataclass(frozen=True)
class Pass:
    """What one pass found.

    Args:
        files: part files that were read.
        rows: requests taken from them.
        others: records of other releases, passed over.
        windows: those that closed.
        refused: what ended the pass before its time: a file that is damaged or lacks a column, or what the state's disk
            refuses. What was read before it is taken, it and what comes after it is not.
    """

    files: int
    rows: int
    others: int
    windows: tuple[Window, ...]
    refused: SoukError | None = None

    @property
    def alarm(self) -> bool:
        """Whether any of the windows is an alarm."""
        return any(window.alarm for window in self.windows)


def check(monitor: Monitor, reader: RowReader, folder: str | Path, now: int) -> Pass:
    """Reads the part files that the monitor's state has not seen, in order, each in one transaction.

    Args:
        monitor: of the release.
        reader: of the same.
        folder: the impression log.
        now: UTC epoch milliseconds.

    Raises:
        SoukError: there is no such log, or the state cannot be read.
    """
    found = part_files(folder)
    names = monitor.state.unread(found)
    windows: list[Window] = []
    before, read, refused = Counter(monitor.state.totals()), 0, None
    try:
        for name in names:
            of_file: Counter[str] = Counter()
            windows += monitor.take(_rows(Path(folder, name), reader, now, of_file), of_file, file=name)
            read += 1
        windows += monitor.close_due(now)
        monitor.state.forget_files(min(found, default=""))
    except SoukError as error:
        refused = error
    taken = Counter(monitor.state.totals()) - before
    return Pass(read, taken["rows_record"], taken["other_release"], tuple(windows), refused)


def _rows(path: Path, reader: RowReader, now: int, counts: Counter[str]) -> Iterator[Row]:
    for batch in records(path, reader.release, reader.objectives):
        rows, others = reader.records(batch, now)
        counts["other_release"] += others
        yield from rows
