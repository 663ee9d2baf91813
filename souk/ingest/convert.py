"""Raw rows to rows of the contract: columns renamed and typed, and the faults of cells that could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import Source
from souk.errors import SoukError
from souk.ingest import cells, no_dates
from souk.ingest.day_orders import WRITTEN, in_iso_order
from souk.ingest.faults import Fault, Reason, fault
from souk.ingest.mapping import TableSource
from souk.ingest.patterns import rename
from souk.ingest.templates import fill_template
from souk.readers import RawBatch, file_format
from souk.schema import SECONDS, Kind, contract

ENDS = "available_until"
TIMES = ("timestamp", "arrived_at", "created_at", ENDS)


def check_names(batch: RawBatch) -> None:
    """Refuses a file in which two columns have one name.

    Raises:
        SoukError: there are two.
    """
    counts = Counter(batch.table.column_names)
    del counts[""]  # as of a spreadsheet that had more columns once: nothing can be mapped to them
    if repeated := sorted(name for name, count in counts.items() if count > 1):
        raise SoukError(f"columns of different names in {batch.file}", f"two named {repeated[0]}", "Rename one.")


def convert(table: TableSource, batch: RawBatch, alone: bool = False) -> tuple[pa.Table, list[Fault]]:
    """The typed columns of one batch, null where a cell could not be read, and the faults of its cells.

    Args:
        table: where the columns come from.
        batch: some rows.
        alone: whether each row is of now and speaks for itself, as those that a server is sent.

    Raises:
        SoukError: two columns of one name, one that is missing, or one of a type that cannot be converted.
    """
    source, names = table.source, batch.table.column_names
    check_names(batch)
    if batch.others and batch.lines is None:
        table.require_of_rows(names, batch.file, several=True)
    elif batch.lines is None:
        table.require(names, batch.file)
    found = table.columns(names)
    size = len(batch.positions)
    raw_faults = _raw_faults(batch, {**{n: [r] for n, r in found.items()}, **table.parts})
    spoiled = np.zeros(size, bool)
    for each in raw_faults:
        spoiled[each.rows] = True
    columns, faults = [], list(raw_faults)
    comma = source.decimal == "," and file_format(source, batch.file) in (
        "csv",
        "atomic",
    )  # numbers of JSON have points
    for column in table.schema:
        if column.name == ENDS and ENDS in source.templates:
            array, wrong = _earliest(table, column, batch, alone)
            faults += fault(Reason.TYPE, ENDS, wrong & ~spoiled)
        elif column.name in source.templates:
            array = _made_column(table, column.name, batch)
        else:
            array = _raw_column(batch, found.get(column.name), source.constants.get(column.name), size)
        if comma and column.name not in source.constants and is_number(column):
            array = cells.with_points(array)
        typed, wrong = _parse(table, column, array, batch.file, alone)
        if column.name == "dwell_seconds" and source.dwell_unit == "ms" and not pa.types.is_duration(array.type):
            typed = pc.divide(typed, 1000.0)
        columns.append(typed)
        faults += fault(Reason.TYPE, column.name, wrong & ~spoiled)
        if alone and column.name in (TIMES if table.name == "events" else ("created_at", ENDS)):  # else by the table
            faults += fault(Reason.UNIT, column.name, _of_another_unit(array, typed, source.timestamp_unit))
    return pa.Table.from_arrays(columns, schema=table.schema), faults


def is_number(column: pa.Field) -> bool:
    """Whether a column has amounts; times are none."""
    return column.type in (pa.float64(), pa.int64()) and column.name not in TIMES


def _raw_column(batch: RawBatch, name: str | None, constant: str | float | None, size: int) -> pa.Array:
    if name is not None:
        column = batch.table[name]
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if constant is not None:
        text = str(constant).lower() if isinstance(constant, bool) else str(constant)
        return pa.repeat(pa.scalar(text, pa.string()), size)
    return pa.nulls(size)


def _earliest(table: TableSource, column: pa.Field, batch: RawBatch, alone: bool) -> cells.Parsed:
    """The earliest of the times that a template of ends names, as times of their own, so that none is read again."""
    found: list[pa.Array] = []
    wrong = np.zeros(len(batch.positions), bool)
    for part in table.parts[ENDS]:
        if part in batch.table.column_names:
            time, bad = _parse(table, column, _raw_column(batch, part, None, len(wrong)), batch.file, alone)
            found.append(time)
            wrong |= bad
    least = pc.min_element_wise(*found) if found else pa.nulls(len(wrong), pa.int64())
    return least.cast(pa.timestamp("ms", "UTC")), wrong


def _made_column(table: TableSource, name: str, batch: RawBatch) -> pa.Array:
    present = [part for part in table.parts[name] if part in batch.table.column_names]
    parts = {part: batch.table[part].combine_chunks() for part in present}
    known = contract(table.name).get(name)
    whole, path = bool(known and known.required), table.kinds.get(name) is Kind.PATH or name == "category"
    try:
        return fill_template(table.source.templates[name], parts, len(batch.positions), whole, path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        named = next((part for part, array in parts.items() if not _plain(array)), next(iter(parts)))
        received = f"column {named} of {parts[named].type} in {batch.file}"
        raise SoukError(f"texts or numbers in data.{table.name}.templates.{name}", received, "Leave it out.") from error


def _plain(array: pa.Array) -> bool:
    """Whether every value has a text."""
    try:
        cells.parse_text(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _of_day_ends(array: pa.Array, unit: str) -> tuple[pa.Array, str]:
    """Times and their unit, where those that are a date say its last moment, whatever clocks do on that day."""
    if pa.types.is_date(array.type):
        array, unit = array.cast(pa.string()), "iso"
    if unit not in WRITTEN or pa.types.is_temporal(array.type):
        return array, unit
    text = cells.spelled(in_iso_order(cells.parse_text(array)[0], unit))
    return pc.replace_substring_regex(text, r"^(\d{4}-\d{2}-\d{2})$", r"\1T23:59:59.999"), "iso"


def _parse(table: TableSource, column: pa.Field, array: pa.Array, file: str, alone: bool) -> cells.Parsed:
    """The parser of a column, applied."""
    source, name, kind = table.source, column.name, table.kinds.get(column.name)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), column.type), np.zeros(len(array), bool)
    separator = source.separators.get(name, " " if file_format(source, file) == "atomic" else "")
    try:
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if kind is Kind.LIST:
            return cells.parse_list(array, separator)
        if kind is Kind.VECTOR:
            return cells.parse_vector(array, separator)
        if kind is Kind.PATH or name == "category":
            return cells.parse_path(array, source.separators.get(name, ""))
        if name in TIMES and contract(table.name).get(name):
            return _parse_time(source, name, array, alone)
        if name == "event_type":
            text, wrong = cells.parse_text(array)
            return rename(text, source.event_types), wrong
        plain = {pa.string(): cells.parse_text, pa.int64(): cells.parse_integer, pa.bool_(): cells.parse_bool}
        return plain.get(column.type, cells.parse_number)(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SoukError(
            f"{table.name}.{name} to be {kind or column.type}",
            f"a column of {array.type} in {file}",
            f"Map another column in data.{table.name}.columns, or change its kind.",
        ) from error


def _parse_time(source: Source, name: str, array: pa.Array, alone: bool) -> cells.Parsed:
    """Times of a table; who sends a row that is `alone` says null where there is none."""
    unit: str = source.timestamp_unit
    if name in no_dates.COLUMNS and not alone:
        array = no_dates.without(array, unit)
    if unit in WRITTEN and name in ("created_at", ENDS) and not pa.types.is_temporal(array.type):
        array = cells.whole_days(cells.parse_text(array)[0], last=name == ENDS)
    if name == ENDS:
        array, unit = _of_day_ends(array, unit)
    return cells.parse_time(array, unit, source.timezone)


def _of_another_unit(raw: pa.Array, times: pa.Array, unit: str) -> np.ndarray:
    """The mask of times that a smaller number than its `unit` tells, such as seconds among milliseconds."""
    if unit not in ("ms", "us") or pa.types.is_temporal(raw.type):
        return np.zeros(len(times), bool)
    return cells.as_mask(pc.and_(pc.greater_equal(times, SECONDS.start), pc.less(times, SECONDS.stop)))


def _raw_faults(batch: RawBatch, used: Mapping[str, list[str]]) -> list[Fault]:
    """Rows that are malformed, and cells in use (column to those of the file) that are not UTF-8."""
    faults = []
    if batch.malformed:
        faults.append(Fault(Reason.MALFORMED, "", np.array(sorted(batch.malformed), dtype=np.int64)))
    places: dict[str, list[int]] = {}
    for row, raw in batch.undecodable:
        for name in (name for name, raws in {"": [""], **used}.items() if raw in raws and row not in batch.malformed):
            places.setdefault(name, []).append(row)
    return faults + [Fault(Reason.ENCODING, name, np.unique(np.array(rows))) for name, rows in places.items()]


def content_ids(table: pa.Table, names: Iterable[str]) -> pa.Array:
    """Ids made from what rows say: 16 hex digits of a hash of the contract columns; exact repeats have the same.

    They depend neither on the order nor on the format of the files, nor on columns that a row leaves empty.
    """
    hashes = np.zeros(table.num_rows, np.uint64)
    for name in sorted(set(names) & set(table.column_names)):
        column = table[name]
        salt = pd.util.hash_array(np.array([name], object))
        texts = column.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False)
        hashes += pd.util.hash_array(pd.util.hash_array(texts, categorize=False) + salt) * column.is_valid().to_numpy()
    return pa.array([f"{value:016x}" for value in hashes.tolist()], pa.string())
