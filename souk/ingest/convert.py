"""Raw rows to a table of the contract: columns renamed and typed, and the faults of cells that could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import Source
from souk.errors import SoukError, unknown
from souk.ingest import cells
from souk.ingest.faults import Fault, Reason, fault
from souk.ingest.templates import check_templates, fill_template, template_columns
from souk.readers import RawBatch, file_format, read_batches
from souk.schema import ID_COLUMN, Kind, contract

TIMES = ("timestamp", "arrived_at", "created_at")
ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
KIND_TYPES = {
    Kind.CATEGORICAL: pa.string(),
    Kind.NUMERIC: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.LIST: pa.list_(pa.string()),
    Kind.PATH: pa.string(),
    Kind.VECTOR: pa.list_(pa.float32()),
}
LATEST_MS = 7_258_118_400_000  # 2200-01-01
FIRST_WEEKS_MS = 5_000_000_000  # seconds read as milliseconds end in the first weeks of 1970


@dataclass(frozen=True)
class Rows:
    """All rows of one table.

    Args:
        name: "events", "items" or "users".
        table: the rows, as `arrow_schema` says; a cell that could not be read is null.
        faults: what is wrong with them so far.
        batches: the rows as they came.
        ignored: columns of the source that nothing asks for.
    """

    name: str
    table: pa.Table
    faults: list[Fault]
    batches: tuple[RawBatch, ...] = ()
    ignored: tuple[str, ...] = ()

    def origins(self, rows: np.ndarray) -> tuple[list[str], list[int], list[str]]:
        """File, position in it (from 1) and original JSON of each of `rows` (ascending)."""
        files, positions, texts, start = [], [], [], 0
        for batch in self.batches:
            size = len(batch.positions)
            within = rows[(rows >= start) & (rows < start + size)] - start
            files += [batch.file] * len(within)
            positions += batch.positions[within].tolist()
            texts += batch.originals(within)
            start += size
        return files, positions, texts


def arrow_schema(table: str, kinds: Mapping[str, Kind]) -> pa.Schema:
    """The columns of `table`: those of the contract, then the declared ones by name."""
    known = contract(table)
    columns = [(name, ARROW_TYPES[column.type]) for name, column in known.items()]
    columns += [(name, KIND_TYPES[kind]) for name, kind in sorted(kinds.items()) if name not in known]
    return pa.schema(columns)


def read_rows(table: str, source: Source | None, kinds: Mapping[str, Kind]) -> Rows:
    """Reads the `table` of a source; without a source it has no rows.

    Args:
        table: "events", "items" or "users".
        source: where it is.
        kinds: its declared columns.

    Raises:
        SoukError: files that cannot be read, a column that is missing, no rows, times in another unit.
    """
    schema = arrow_schema(table, kinds)
    if source is None:
        return Rows(table, schema.empty_table(), [])
    _check_names(table, source, schema)
    batches, tables, faults, start = [], [], [], 0
    for batch in read_batches(source):
        columns, found = _convert(table, source, kinds, batch)
        faults += [replace(each, rows=each.rows + start) for each in found]
        tables.append(pa.Table.from_arrays(columns, schema=schema))
        batches.append(batch)
        start += len(batch.positions)
    if not start:
        raise SoukError(f"rows in the {table} file {source.path}", "none", "Is it the right file?")
    whole = pa.concat_tables(tables)
    present = {name for batch in batches for name in batch.table.column_names}
    used = _require_columns(table, source, kinds, present)
    _check_times(table, source, whole, faults)
    if table == "events" and "event_id" not in {*used, *source.templates}:
        whole = whole.set_column(0, schema.field(0), content_ids(whole.drop_columns(["event_id"]), contract(table)))
    parts = {part for text in source.templates.values() for part in template_columns(text)}
    ignored = tuple(sorted(present - set(used.values()) - parts - {""}))
    return Rows(table, whole, _merged(faults), tuple(batches), ignored)


def content_ids(table: pa.Table, names: Iterable[str]) -> pa.Array:
    """Ids made from what rows say: 16 hex digits of a hash of the contract columns, then `-n` for the n-th repeat.

    They depend neither on the order nor on the format of the files, nor on columns that a row leaves empty.
    """
    hashes = np.zeros(table.num_rows, np.uint64)
    for name in sorted(set(names) & set(table.column_names)):
        column = table[name]
        salt = pd.util.hash_array(np.array([name], object))
        texts = column.cast(pa.string()).fill_null("").to_numpy(zero_copy_only=False)
        hashes += pd.util.hash_array(pd.util.hash_array(texts) + salt) * column.is_valid().to_numpy()
    repeat = pd.Series(hashes).groupby(hashes).cumcount().to_numpy()
    suffix = np.where(repeat > 0, np.char.add("-", repeat.astype(str)), "")
    ids = [f"{value:016x}{end}" for value, end in zip(hashes.tolist(), suffix.tolist(), strict=True)]
    return pa.array(ids, pa.string())


def _check_names(table: str, source: Source, schema: pa.Schema) -> None:
    """Every name that the source gives must be a column of the table."""
    for key in ("columns", "templates", "constants", "separators"):
        for name in getattr(source, key):
            if name not in schema.names:
                raise unknown(f"data.{table}.{key}: a contract column or one of columns.{table}", name, schema.names)
    origins: dict[str, Iterable[str]] = {
        "column": source.columns,
        "template": source.templates,
        "constant": source.constants,
    }
    for (one, names), (other, others) in combinations(origins.items(), 2):
        for name in set(names) & set(others):
            raise SoukError(f"one origin of {table}.{name}", f"a {one} and a {other}", "Leave one of them out.")


def _mapping(table: str, source: Source, kinds: Mapping[str, Kind], present: Iterable[str]) -> dict[str, str]:
    """Column of the table to column of the file: as the config says, else the one of the same name."""
    found, made = {}, {*source.constants, *source.templates}
    for name in arrow_schema(table, kinds).names:
        raw = source.columns.get(name, "" if name in made else name)
        if raw and raw in present:
            found[name] = raw
    return found


def _require_columns(
    table: str, source: Source, kinds: Mapping[str, Kind], present: Iterable[str], file: str = ""
) -> dict[str, str]:
    """The mapping, after a check that nothing is missing that must be there."""
    present = list(present)
    found = _mapping(table, source, kinds, present)
    required = {name for name, column in contract(table).items() if column.required} - {"event_id"}
    check_templates(table, source.templates, present, file or source.path)
    made = {*found, *source.constants, *source.templates}
    for name in sorted((required | set(kinds) | set(source.columns)) - made):
        raw = source.columns.get(name, name)
        if raw:
            error = unknown(f"a column for {table}.{name} in {file or source.path}", raw, present)
            remedy = f"{error.remedy} Map it in data.{table}.columns, or give data.{table}.constants.{name}."
            raise SoukError(error.expected, error.received, remedy)
    return found


def _convert(
    table: str, source: Source, kinds: Mapping[str, Kind], batch: RawBatch
) -> tuple[list[pa.Array], list[Fault]]:
    """The typed columns of one batch, and the faults of its cells."""
    schema, names = arrow_schema(table, kinds), batch.table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SoukError(f"columns of different names in {batch.file}", f"two named {repeated[0]}", "Rename one.")
    found = _mapping(table, source, kinds, names)
    if batch.lines is None:
        found = _require_columns(table, source, kinds, names, batch.file)
    size = len(batch.positions)
    raw_faults = _raw_faults(batch, found, source.templates)
    spoiled = np.zeros(size, bool)
    for each in raw_faults:
        spoiled[each.rows] = True
    columns, faults = [], list(raw_faults)
    for column in schema:
        if column.name in source.templates:
            array = _made_column(table, column.name, source, kinds, batch)
        else:
            array = _raw_column(batch, found.get(column.name), source.constants.get(column.name), size)
        typed, wrong = _parse(table, column, array, source, kinds, batch.file)
        columns.append(typed)
        faults += fault(Reason.TYPE, column.name, wrong & ~spoiled)
    return columns, faults


def _raw_column(batch: RawBatch, name: str | None, constant: str | float | None, size: int) -> pa.Array:
    if name is not None:
        column = batch.table[name]
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if constant is not None:
        text = str(constant).lower() if isinstance(constant, bool) else str(constant)
        return pa.repeat(pa.scalar(text, pa.string()), size)
    return pa.nulls(size)


def _made_column(table: str, name: str, source: Source, kinds: Mapping[str, Kind], batch: RawBatch) -> pa.Array:
    text = source.templates[name]
    parts = {
        part: batch.table[part].combine_chunks() for part in template_columns(text) if part in batch.table.column_names
    }
    known = contract(table).get(name)
    path = kinds.get(name) is Kind.PATH or name == "category"
    try:
        return fill_template(text, parts, len(batch.positions), bool(known and known.required), path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        nested = next(part for part, array in parts.items() if pa.types.is_nested(array.type))
        received = f"column {nested} of {parts[nested].type} in {batch.file}"
        raise SoukError(f"texts or numbers in data.{table}.templates.{name}", received, "Leave it out.") from error


def _parse(
    table: str, column: pa.Field, array: pa.Array, source: Source, kinds: Mapping[str, Kind], file: str
) -> cells.Parsed:
    """The parser of a column, applied."""
    name, kind = column.name, kinds.get(column.name)
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
        if name in TIMES and contract(table).get(name):
            return cells.parse_time(array, source.timestamp_unit)
        if name == "event_type":
            return cells.parse_text(array, source.event_types)
        plain = {pa.string(): cells.parse_text, pa.int64(): cells.parse_integer, pa.bool_(): cells.parse_bool}
        return plain.get(column.type, cells.parse_number)(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SoukError(
            f"{table}.{name} to be {kind or column.type}",
            f"a column of {array.type} in {file}",
            f"Map another column in data.{table}.columns, or change its kind.",
        ) from error


def _raw_faults(batch: RawBatch, found: Mapping[str, str], templates: Mapping[str, str]) -> list[Fault]:
    """Rows that are malformed, and cells in use that are not UTF-8."""
    faults = []
    if batch.malformed:
        faults.append(Fault(Reason.MALFORMED, "", np.array(sorted(batch.malformed), dtype=np.int64)))
    targets: dict[str, list[str]] = {"": [""]}
    for name, raw in [*found.items(), *((n, part) for n, text in templates.items() for part in template_columns(text))]:
        targets.setdefault(raw, []).append(name)
    places: dict[str, list[int]] = {}
    for row, raw in batch.undecodable:
        for name in targets.get(raw, ()) if row not in batch.malformed else ():
            places.setdefault(name, []).append(row)
    return faults + [Fault(Reason.ENCODING, name, np.unique(np.array(rows))) for name, rows in places.items()]


def _merged(faults: list[Fault]) -> list[Fault]:
    """One fault for each reason and column."""
    rows: dict[tuple[Reason, str], list[np.ndarray]] = {}
    for each in faults:
        rows.setdefault((each.reason, each.column), []).append(each.rows)
    return [Fault(reason, column, np.concatenate(parts)) for (reason, column), parts in rows.items()]


def _check_times(table: str, source: Source, rows: pa.Table, faults: list[Fault]) -> None:
    """Most times of a table unreadable, in January 1970 or after 2200: the unit is wrong."""
    if ID_COLUMN[table] != "event_id":
        return
    times = pc.drop_null(rows["timestamp"])
    unreadable = sum(len(f.rows) for f in faults if f.column == "timestamp" and f.reason is Reason.TYPE)
    key, unit = f"data.{table}.timestamp_unit", source.timestamp_unit
    if unreadable > rows.num_rows / 2:
        remedy = f"Set {key} to " + ("ms, s or us." if unit == "iso" else "iso.")
        raise SoukError(f"event times in {unit}", "most cannot be read as such", remedy)
    if not len(times):
        return
    low, middle = pc.min(times).as_py(), int(np.median(times.to_numpy()))
    if low > 0 and middle < FIRST_WEEKS_MS and unit in ("ms", "us"):
        right = "s" if unit == "ms" or middle < FIRST_WEEKS_MS / 1000 else "ms"
        received = f"dates around {pd.Timestamp(middle, unit='ms'):%d %B %Y}"
        raise SoukError(f"event times in {unit}", received, f"They look like {right}: set {key} to {right}.")
    if middle > LATEST_MS:
        right = "us" if unit == "ms" else "ms"
        raise SoukError(f"event times in {unit}", "dates after the year 2200", f"Set {key} to {right}.")
