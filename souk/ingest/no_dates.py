"""Dates that stand for none: the first day of the calendar, as .NET has it where nothing was set, and MySQL's zeros."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells, day_orders
from souk.ingest.mapping import TableSource
from souk.ingest.templates import fill_template
from souk.readers import RawBatch
from souk.schema import DAY_MS, contract

COLUMNS = ("arrived_at", "created_at", "available_until")  # an event without a time is none
# The last: of the east.
WRITTEN = r"^\s*((0001-?01-?01|0000-?00-?00)([T ].*)?|0000-12-31[T ].*(Z|[+-]\d\d(:?\d\d)?)\s*)$"
FIRST_DAY_MS = -62_135_596_800_000  # 0001-01-01, UTC epoch milliseconds


def stands_for_none(array: pa.Array, unit: str) -> np.ndarray:
    """The mask of the cells that stand for none.

    Args:
        array: the cells, of any type.
        unit: of `souk.ingest.cells.parse_time`.
    """
    if pa.types.is_null(array.type):
        return np.zeros(len(array), bool)
    if pa.types.is_temporal(array.type):
        times = array.cast(pa.timestamp("ms", getattr(array.type, "tz", None)), safe=False).cast(pa.int64())
    elif unit in day_orders.WRITTEN:
        return cells.as_mask(
            pc.match_substring_regex(day_orders.in_iso_order(cells.parse_text(array)[0], unit), WRITTEN)
        )
    else:
        times = pc.multiply(cells.parse_number(array)[0], cells.MS_PER_UNIT[unit])
    return cells.as_mask(pc.less(pc.abs(pc.subtract(times, FIRST_DAY_MS)), DAY_MS))  # in whatever time zone


def without(array: pa.Array, unit: str) -> pa.Array:
    """The cells, null where they stand for none."""
    none = stands_for_none(array, unit)
    return pc.if_else(pa.array(none), pa.scalar(None, array.type), array) if none.any() else array


def counted(table: TableSource, batch: RawBatch) -> dict[str, int]:
    """How many cells of each optional time of a table stand for none in rows that could be converted."""
    names, unit = batch.table.column_names, table.source.timestamp_unit
    known, found = contract(table.name), table.columns(names)
    return {
        name: sum(int(stands_for_none(times, unit).sum()) for times in _cells(table, batch, name, found.get(name)))
        for name in COLUMNS
        if name in known
    }


def _cells(table: TableSource, batch: RawBatch, name: str, raw: str | None) -> list[pa.Array]:
    """The cells that a time is read from: a column's, or what a template makes of several. Of ends each is a time."""
    parts = [raw] if raw else [part for part in table.parts.get(name, []) if part in batch.table.column_names]
    arrays = {part: batch.table[part].combine_chunks() for part in parts}
    if name == "available_until" or name not in table.source.templates:
        return list(arrays.values())
    return [fill_template(table.source.templates[name], arrays, len(batch.positions), False, False)]


def told(table: str, counts: Mapping[str, int]) -> Iterator[str]:
    """What to say of the cells that were `counted`."""
    for name, count in counts.items():
        if count:
            yield f"{table}: {count:,} {name} of 0001-01-01 or 0000-00-00, which stand for none, are read as missing"
