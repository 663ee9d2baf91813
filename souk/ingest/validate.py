"""Validation of one table: its schema, the faults of its rows, its statistics and what they show.

Two passes over the files, so that no table is ever whole in memory: the first takes a sample of the rows that the
contract accepts, for the schema and the bounds of outliers; the second judges every row. Only where ids repeat does a
third one fetch the text of the rows that they cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import Outliers
from souk.errors import SoukError
from souk.folders import whole_file
from souk.ingest import no_dates
from souk.ingest.accepted import Accepted
from souk.ingest.checks import check_early, check_future, check_schema, check_size, new_values, of_later_years
from souk.ingest.faults import Fault, Reason, faulty
from souk.ingest.infer import infer_schema
from souk.ingest.mapping import TableSource
from souk.ingest.notices import absent, lone_places, unsplit, unused
from souk.ingest.odd.currencies import Currencies
from souk.ingest.odd.untyped import Untyped
from souk.ingest.outliers import Bounds, find_bounds, numeric_columns, treat_outliers
from souk.ingest.quarantine import Quarantine, QuarantineWriter
from souk.ingest.reading import Reading, Rows, check_times
from souk.ingest.refused import RefusedItems
from souk.ingest.sample import Sample
from souk.ingest.schemas import SchemaFolder, contract_schema, read_schema, schema_text
from souk.ingest.statistics import table_statistics
from souk.schema import ID_COLUMN

MOST_NEW_VALUES = 10_000  # of one column that are told apart


@dataclass(frozen=True)
class Rules:
    """What rows are checked against.

    Args:
        dataset: name of the data set.
        given: the schema to enforce, "" for that of `folder`.
        folder: where an inferred schema is kept.
        outliers: bounds and actions.
        latest: times after this are in the future, UTC epoch ms.
        widths: of declared vectors.
    """

    dataset: str
    given: str
    folder: SchemaFolder
    outliers: Outliers
    latest: int
    widths: Mapping[str, int]


@dataclass(frozen=True)
class Validated:
    """One table, checked.

    Args:
        accepted: the rows without a fault, outliers clipped where the config says so.
        quarantine: what became of the others.
        schema: the schema in force.
        schema_text: its file.
        statistics: TFDV statistics of the accepted rows, or of a sample.
        notices: what a reader should know and no row is refused for.
        bounds: the outlier bounds.
        refused: of items, what refused and skipped rows say of their end: see `souk.ingest.refused`.
    """

    accepted: Accepted
    quarantine: Quarantine
    schema: Any
    schema_text: str
    statistics: Any
    notices: tuple[str, ...]
    bounds: tuple[Bounds, ...]
    refused: pa.Table


@dataclass(frozen=True)
class Survey:
    """What the first pass found.

    Args:
        rows: those that are not skipped.
        names: the columns of the files.
        good: a sample of the rows that the contract accepts.
        later: of events, whether their times are of later years than the first weeks of 1970.
    """

    rows: int
    names: frozenset[str]
    good: pa.Table
    later: bool


def validate(table: TableSource, rules: Rules, spill: Path, refused: Path) -> Validated:
    """Checks every row of a table.

    Args:
        table: where it is.
        rules: what is checked.
        spill: an empty folder for accepted rows until they are sorted.
        refused: the Parquet file of refused rows to be written.

    Raises:
        SoukError: files or a schema that cannot be read.
    """
    survey = _survey(table, rules)
    text, schema = _schema(table, rules, survey.good)
    bounds = find_bounds(survey.good, numeric_columns(table.name, table.kinds), rules.outliers)
    judge = _Judge(table, rules, schema, bounds, survey.later)
    makes_ids = table.makes_ids(survey.names)
    reading, sample = Reading(table, makes_ids), Sample(table.schema.append(pa.field("row", pa.int64())))
    accepted, ends = Accepted(table, spill, survey.good, survey.rows), RefusedItems()
    none: Counter[str] = Counter()
    untyped, currencies = Untyped(table), Currencies(table)
    with whole_file(refused) as fresh:
        writer = QuarantineWriter(fresh, table.columns(survey.names))
        for rows in reading:
            treated, faults = judge.of(rows)
            good = writer.add(rows, faults)
            if table.name == "items":
                ends.add(treated, faults, good)
            numbers = np.arange(rows.start, rows.start + len(good))
            sample.add(treated.append_column("row", pa.array(numbers)), good)
            accepted.add(treated.filter(pa.array(good)), numbers[good])
            judge.note_new(treated, good)
            none.update(no_dates.counted(table, rows.raw))
            untyped.note(rows.raw.table)
            currencies.note(rows.raw.table)
        ends.add_skipped(reading.skipped_items)
        if reading.read != survey.rows + sum(reading.skipped.values()):
            raise SoukError(f"files of {table.name} that stay as they are", "rows that came or went", "Run it again.")
        repeats = accepted.find_repeats(reading.own if makes_ids else 0)
        if repeats and table.source.repeated_ids == "quarantine":
            for rows, repeated in _fetch(Reading(table, makes_ids), accepted.dropped):
                writer.add(rows, [Fault(Reason.DUPLICATE, ID_COLUMN[table.name], repeated)])
        writer.close()
    let_fall = 0 if table.source.repeated_ids == "quarantine" else repeats
    outcome = writer.outcome(table.name, reading.read, reading.skipped, let_fall, accepted.count)
    statistics = table_statistics(_shown(table, accepted, sample))
    notices = (
        *unused(table, survey.names),
        *absent(table, reading.absent),
        *lone_places(table.name, survey.good),
        *judge.notices(),
        *unsplit(table, survey.good),
        *no_dates.told(table.name, none),
        *untyped.notices(),
        *currencies.notices(),
    )
    return Validated(accepted, outcome, schema, text, statistics, notices, tuple(judge.bounds), ends.table())


def anomalies(name: str, statistics: Any, schema: Any, before: Any | None) -> list[str]:
    """What TFDV finds in the statistics of a table, against its schema and those of the window before."""
    import tensorflow_data_validation as tfdv

    if not statistics.datasets[0].num_examples:
        return []
    found = tfdv.validate_statistics(statistics, schema, previous_statistics=before)
    info = sorted(found.anomaly_info.items())
    return [f"{name}.{column}: {_told(each.short_description, each.description)}".strip() for column, each in info]


def _told(short: str, whole: str) -> str:
    """What TFDV says of a column, once: of a new one the second text begins with the first."""
    return whole if whole.startswith(short) else f"{short}. {whole}"


class _Judge:
    """Finds the faults of rows, and what else there is to say of them."""

    def __init__(self, table: TableSource, rules: Rules, schema: Any, bounds: list[Bounds], later: bool) -> None:
        self.bounds, self._later = bounds, later
        self._name, self._rules, self._schema = table.name, rules, schema
        self._contract = contract_schema(table.name, table.kinds, rules.widths)
        self._new: dict[str, set[str]] = {}

    def of(self, rows: Rows) -> tuple[pa.Table, list[Fault]]:
        """The rows, clipped where the config says so, and all their faults but repeated ids."""
        faults = _contract_faults(self._name, rows, self._contract, self._rules.latest)
        faults = _union(faults, check_schema(rows.table, self._schema, _unread(rows)))
        faults += check_early(rows.table) if self._later else []
        good = ~faulty(faults, rows.table.num_rows)
        treated, outside, counted = treat_outliers(rows.table, good, self.bounds)
        self.bounds = [replace(a, outside=a.outside + b.outside) for a, b in zip(self.bounds, counted, strict=True)]
        return treated, faults + outside

    def note_new(self, table: pa.Table, good: np.ndarray) -> None:
        """Remembers values that open domains do not list."""
        for name, values in new_values(table.filter(pa.array(good)), self._schema).items():
            known = self._new.setdefault(name, set())
            known.update(values[: MOST_NEW_VALUES - len(known)])

    def notices(self) -> Iterator[str]:
        """What a reader should know."""
        for name, values in self._new.items():
            shown = ", ".join(sorted(values)[:5]) + (", ..." if len(values) > 5 else "")
            yield f"{self._name}.{name}: {len(values)} values that the schema does not list: {shown}"
        for found in self.bounds:
            if found.outside and found.action != "quarantine":
                done = "clipped" if found.action == "clip" else "kept"
                span = f"{found.low:.6g} to {found.high:.6g}"
                filtered = self._name == "items" and found.action == "clip"
                told = "; requests that filter by it go by the bound" if filtered else ""
                yield f"{self._name}.{found.column}: {found.outside} outliers beyond {span}, {done}{told}"


def _survey(table: TableSource, rules: Rules) -> Survey:
    """The first pass."""
    contract = contract_schema(table.name, table.kinds, rules.widths)
    reading, good = Reading(table), Sample(table.schema)
    times, unreadable, count = Sample(pa.schema([("timestamp", pa.int64())])), 0, 0
    example, value = "", ""
    for rows in reading:
        count += rows.table.num_rows
        faults = _contract_faults(table.name, rows, contract, rules.latest)
        good.add(rows.table, ~faulty(faults, rows.table.num_rows))
        if table.name == "events":
            times.add(rows.table.select(["timestamp"]), np.ones(rows.table.num_rows, bool))
            for each in (f for f in faults if f.column == "timestamp" and f.reason is Reason.TYPE):
                unreadable += len(each.rows)
                if not example:
                    example = rows.origins(each.rows[:1])[2][0]
                    name = table.columns(rows.raw.table.column_names).get("timestamp", "")
                    value = next(iter(rows.texts(name, each.rows[:1])), "")
    if table.name == "events":
        check_times(table.source, times.table["timestamp"], unreadable / max(1, count), example, value)
    later = of_later_years(times.table["timestamp"].combine_chunks())
    return Survey(count, frozenset(reading.names), good.table, later)


def _contract_faults(name: str, rows: Rows, contract: Any, latest: int) -> list[Fault]:
    faults = [*rows.faults, *check_schema(rows.table, contract, _unread(rows))]
    return faults + check_size(rows.table) + check_future(name, rows.table, latest)


def _schema(table: TableSource, rules: Rules, good: pa.Table) -> tuple[str, Any]:
    """The schema file in force and its content: given, kept, or inferred from rows that the contract accepts."""
    name, folder = table.name, rules.folder
    text = rules.given or folder.read(name)
    if text:
        origin = f"schema {name}.pbtxt" + ("" if rules.given else f" in {folder.folder}")
        try:
            return text, read_schema(name, text, table.kinds, origin, rules.widths)
        except SoukError:  # a column was declared since, or is of another width
            if rules.given or folder.edited(name):
                raise
    schema = infer_schema(name, table.kinds, table_statistics(good))
    text = schema_text(name, rules.dataset, schema)
    folder.write(name, text)
    return text, schema


def _fetch(reading: Reading, wanted: np.ndarray) -> Iterator[tuple[Rows, np.ndarray]]:
    """The batches that hold rows of the mask `wanted`, with these rows' indices."""
    for rows in reading:
        found = np.flatnonzero(wanted[rows.start : rows.start + rows.table.num_rows])
        if len(found):
            yield rows, found


def _shown(table: TableSource, accepted: Accepted, sample: Sample) -> pa.Table:
    """The rows that statistics are made of: at most SAMPLE_ROWS of those that are left."""
    if table.name == "events":
        rows = sample.table["row"].to_numpy()
        return sample.table.filter(pc.invert(pa.array(accepted.dropped[rows]))).drop_columns(["row"])
    left = Sample(table.schema)
    left.add(accepted.whole(), np.ones(accepted.count, bool))
    return left.table


def _unread(rows: Rows) -> dict[str, np.ndarray]:
    """Column to the mask of rows whose cell could not be read; "" for whole rows."""
    masks: dict[str, np.ndarray] = {}
    for each in rows.faults:
        if each.reason in (Reason.MALFORMED, Reason.ENCODING, Reason.TYPE):
            masks.setdefault(each.column, np.zeros(rows.table.num_rows, bool))[each.rows] = True
    return masks


def _union(faults: list[Fault], more: list[Fault]) -> list[Fault]:
    """Both, with the rows of the same reason and column once."""
    joined: dict[tuple[Reason, str], np.ndarray] = {}
    for each in (*faults, *more):
        key = (each.reason, each.column)
        joined[key] = np.union1d(joined[key], each.rows) if key in joined else each.rows
    return [Fault(reason, column, rows) for (reason, column), rows in joined.items()]
