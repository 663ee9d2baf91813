"""A pass over the rows of a table, a batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import Source
from souk.errors import SoukError, cut, shown
from souk.ingest import cells
from souk.ingest.checks import LATER_MS
from souk.ingest.convert import check_names, content_ids, convert
from souk.ingest.faults import Fault
from souk.ingest.mapping import TableSource
from souk.ingest.patterns import fits_skip
from souk.ingest.remedies import of_numbers, unit_remedy
from souk.readers import RawBatch, read_batches
from souk.schema import contract

LATEST_MS = 7_258_118_400_000  # 2200-01-01
SHOWN = 200  # characters of a row in an error
FIRST_WEEKS_MS = 5_000_000_000  # seconds read as milliseconds end in the first weeks of 1970


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of one table.

    Args:
        table: the rows, as `arrow_schema` says; a cell that could not be read is null.
        faults: what is wrong with them so far.
        raw: the rows as they came.
        start: the number of the first among those of the table that are not skipped, from 0.
    """

    table: pa.Table
    faults: list[Fault]
    raw: RawBatch
    start: int = 0

    def origins(self, rows: np.ndarray) -> tuple[list[str], list[int], list[str]]:
        """File, position in it (from 1) and original JSON of each of `rows` (indices into these)."""
        return [self.raw.file] * len(rows), self.raw.positions[rows].tolist(), self.raw.originals(rows)

    def texts(self, name: str, rows: np.ndarray) -> list[str]:
        """The different texts that column `name` of the file has in `rows`; none where it is missing or nested."""
        if name not in self.raw.table.column_names or pa.types.is_nested(self.raw.table[name].type):
            return []
        found = self.raw.table[name].take(pa.array(rows)).unique()
        return [str(value) for value in found.drop_null().to_pylist()]


class Reading:
    """One pass over the rows of a table, and what was seen on the way.

    Args:
        table: the table.
        makes_ids: whether events get ids made of their content; None to decide by each batch's columns.
    """

    def __init__(self, table: TableSource, makes_ids: bool | None = None) -> None:
        self.table = table
        self.read = 0  # rows of the files
        self.own = 0  # of the table's own files, those that are not skipped; those of the log have later numbers
        self.skipped: Counter[str] = Counter()  # those that the config leaves out, by column
        self.skipped_items: list[pa.Array] = []  # of a table of items, the ids of these rows
        self.names: set[str] = set()  # columns of the files
        self.absent: dict[str, list[str]] = {}  # column that the config names -> the files, of several, without it
        self._makes_ids = makes_ids

    def __iter__(self) -> Iterator[Rows]:
        """The rows that the config does not skip.

        Raises:
            SoukError: files that cannot be read, or a column that is missing.
        """
        table = self.table
        if not table.source.path:
            return
        table.check_names()
        start = 0
        file, of_lines = "", set[str]()  # the file, and the columns that its lines of JSON had
        for batch in read_batches(table.source):
            check_names(batch)
            self.read += len(batch.positions)
            self.names.update(batch.table.column_names)
            batch = self._without_skipped(batch)
            if batch.file != file:
                self._require_of_lines(file, of_lines)
                file, of_lines = batch.file, set()
                self._note_absent(batch)
            of_lines |= _names_of_lines(batch)
            rows, faults = convert(table, batch)
            if table.makes_ids(batch.table.column_names) if self._makes_ids is None else self._makes_ids:
                ids = content_ids(rows.drop_columns(["event_id"]), contract("events"))
                rows = rows.set_column(0, rows.schema.field(0), ids)
            yield Rows(rows, faults, batch, start)
            start += rows.num_rows
        if not self.read:
            raise SoukError(
                f"rows in the {table.name} file {shown(table.source.path)}", "none", "Is it the right file?"
            )
        table.require(self.names, shown(table.source.path))
        self._require_of_lines(file, of_lines)
        self.own = start
        yield from self._logged(start)

    def _require_of_lines(self, file: str, names: set[str]) -> None:
        """A file whose lines all lack what none may lack is told as one without the column: each would be refused."""
        if names:
            self.table.require_of_rows(names, file)

    def _note_absent(self, batch: RawBatch) -> None:
        """What the config names and a file of several has no column for; lines of JSON may lack anything."""
        if batch.others and batch.lines is None:
            for raw in self.table.absent(batch.table.column_names):
                self.absent.setdefault(raw, []).append(batch.file)

    def _logged(self, start: int) -> Iterator[Rows]:
        """The rows of the log: they have ids, none is skipped, and its columns are those of the contract."""
        for source in self.table.log:
            for batch in read_batches(source):
                self.read += len(batch.positions)
                rows, faults = convert(replace(self.table, source=source), batch)
                yield Rows(rows, faults, batch, start)
                start += rows.num_rows

    def _without_skipped(self, batch: RawBatch) -> RawBatch:
        left_out = np.zeros(len(batch.positions), bool)
        spared = np.isin(np.arange(len(left_out)), list(batch.malformed))
        for name, patterns in self.table.source.skip.items():
            cells = batch.table[name].combine_chunks() if name in batch.table.column_names else pa.nulls(len(left_out))
            fits = fits_skip(cells, patterns, f"data.{self.table.name}.skip.{name}", batch.file) & ~left_out & ~spared
            self.skipped[name] += int(fits.sum())
            left_out |= fits
        if not left_out.any():
            return batch
        if self.table.name == "items":
            ids = convert(self.table, batch.filter(left_out))[0]["item_id"]
            self.skipped_items.append(ids.combine_chunks().unique().drop_null())
        return batch.filter(~left_out)


def look(table: TableSource) -> str:
    """Reads the first two batches of a table and keeps nothing: what they lack is told before any table is read whole.

    Two, because what only the end of a table tells, such as a column that no line of JSON has, is then told of one that
    is read in one.

    Returns:
        what lines of JSON have not had so far, of a table that has more; "" where there is nothing to say.

    Raises:
        SoukError: files that cannot be read, or a column that is missing or of a type that cannot be converted.
    """
    names, lines, several = set[str](), 0, False
    for rows in islice(Reading(replace(table, log=())), 2):
        names |= _names_of_lines(rows.raw)
        several |= rows.raw.others and rows.raw.lines is None
        lines += len(rows.raw.positions)
    if several:
        _look_at_each(table)
    lacking = table.lacking(names) if names else {}
    if not lacking:
        return ""
    asked = ", ".join(f"{raw} for {table.name}.{name}" for name, raw in lacking.items())
    return f"{table.name}: none of the first {lines:,} lines has {asked}; they have {', '.join(sorted(names))}"


def _look_at_each(table: TableSource) -> None:
    """Whether any of several files has what the config names: each tells its columns at its beginning."""
    names, lines = set[str](), False
    for batch in read_batches(table.source, goes_on=lambda batch: False):
        names.update(batch.table.column_names)
        lines |= batch.lines is not None
        if not table.absent(names):  # a year of daily files need not be opened
            return
    if not lines:
        table.require(names, table.source.path)


def _names_of_lines(batch: RawBatch) -> set[str]:
    """The columns of lines of JSON; none of another format, of lines that are skipped, or that are none."""
    return set() if batch.lines is None or not len(batch.positions) else {*batch.table.column_names} - {""}


def check_times(source: Source, times: pa.Array, unreadable: float, example: str = "", value: str = "") -> None:
    """Most event times unreadable, in January 1970 or after 2200: the unit is wrong. Those up to 0 stand for none, but
    for the first of a clock that begins at 0.

    Args:
        source: of the events.
        times: UTC epoch milliseconds, null where a time could not be read.
        unreadable: the share of rows whose time could not be read.
        example: one of these rows, as it came.
        value: its time.
    """
    key, unit = "data.events.timestamp_unit", source.timestamp_unit
    if unreadable > 0.5:
        received = "most cannot be read as such" + (f", as in {cut(example, SHOWN)}" if example else "")
        raise SoukError(f"event times in {unit}", received, unit_remedy("events", unit, value))
    times = pc.drop_null(times)
    if not len(times):
        return
    first, times = pc.min(times).as_py(), times.filter(pc.greater(times, 0))
    if not len(times):
        raise SoukError("event times", "0 or less in each row", "Name another column in data.events.columns.timestamp.")
    known = np.sort(times.to_numpy())
    low, middle = int(known[len(known) // 20]), int(known[len(known) // 2])
    if unit == "ms" and cells.like_days(times):
        received = f"numbers such as {low}, which are days as ISO writes them without signs"
        raise SoukError(f"event times in {unit}", received, f"Set {key} to iso.")
    right = "s" if unit == "ms" or middle < FIRST_WEEKS_MS / 1000 else "ms"
    as_right = cells.MS_PER_UNIT[right] / cells.MS_PER_UNIT.get(unit, 1.0)
    clock = first <= 0 and (low * as_right < LATER_MS or low < middle / 2)  # real dates are closer together
    if middle < FIRST_WEEKS_MS and unit in ("ms", "us") and not clock:
        received = f"dates around {pd.Timestamp(middle, unit='ms'):%d %B %Y}"
        remedy = f"They look like {right}: set {key} to {right}."
        if others := np.mean(known >= LATER_MS):
            received += f", and {others:.1%} of later years"
            remedy = f"Most look like {right}: write all in one unit into the file, and set {key} to it."
        raise SoukError(f"event times in {unit}", received, remedy)
    if middle > LATEST_MS:
        named = of_numbers(key, unit, middle / cells.MS_PER_UNIT[unit]) if unit in cells.MS_PER_UNIT else ""
        other = f"Name in {key} what they are in, or another column in data.events.columns.timestamp."
        raise SoukError(f"event times in {unit}", "dates after the year 2200", named or other)
