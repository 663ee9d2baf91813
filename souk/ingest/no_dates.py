"""Dates that stand for none: the first day of the calendar, as .NET has it where nothing was set, and MySQL's zeros."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.mapping import TableSource
from souk.readers import RawBatch
from souk.schema import DAY_MS, contract

COLUMNS = ("arrived_at", "created_at", "available_until")  # an event without a time is none
WRITTEN = r"^\s*(0001-01-01|0000-00-00)([T ].*)?$"
FIRST_DAY_MS = -62_135_596_800_000  # 0001-01-01, UTC epoch milliseconds


def stands_for_none(array: pa.Array, unit: str) -> np.ndarray:
    """The mask of the cells that stand for none.

    Args:
        array: the cells, of any type.
        unit: ms, s, us or iso.
    """
    if pa.types.is_null(array.type):
        return np.zeros(len(array), bool)
    if pa.types.is_temporal(array.type):
        times = array.cast(pa.timestamp("ms", getattr(array.type, "tz", None)), safe=False).cast(pa.int64())
    elif unit == "iso":
        return cells.as_mask(pc.match_substring_regex(cells.parse_text(array)[0], WRITTEN))
    else:
        times = pc.multiply(cells.parse_number(array)[0], cells.MS_PER_UNIT[unit])
    return cells.as_mask(pc.less_equal(pc.abs(pc.subtract(times, FIRST_DAY_MS)), DAY_MS))  # in whatever time zone


def without(array: pa.Array, unit: str) -> pa.Array:
    """The cells, null where they stand for none."""
    none = stands_for_none(array, unit)
    return pc.if_else(pa.array(none), pa.scalar(None, array.type), array) if none.any() else array


def counted(table: TableSource, batch: RawBatch) -> dict[str, int]:
    """How many cells of each optional time of a table stand for none in rows that could be converted."""
    known, found = contract(table.name), table.columns(batch.table.column_names)
    raws = {name: [found[name]] if name in found else table.parts.get(name, []) for name in COLUMNS if name in known}
    unit, names = table.source.timestamp_unit, batch.table.column_names
    return {
        name: sum(int(stands_for_none(batch.table[raw].combine_chunks(), unit).sum()) for raw in own if raw in names)
        for name, own in raws.items()
    }


def told(table: str, counts: Mapping[str, int]) -> Iterator[str]:
    """What to say of the cells that were `counted`."""
    for name, count in counts.items():
        if count:
            yield f"{table}: {count:,} {name} of 0001-01-01 or 0000-00-00, which stand for none, are read as missing"
