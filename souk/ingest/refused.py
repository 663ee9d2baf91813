"""What refused rows say of the end of their items, and that skipped ones are not to be had: those that events mention
stay in the table, without columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.faults import Fault, faulty

STAYS = ("available", "available_until")
SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("available", pa.bool_()),
        ("available_until", pa.int64()),
        ("skipped", pa.bool_()),
    ]
)


class RefusedItems:
    """Takes the refused and the skipped rows of items, and gives one for each id."""

    def __init__(self) -> None:
        self._parts = [SCHEMA.empty_table()]

    def add(self, rows: pa.Table, faults: list[Fault], good: np.ndarray) -> None:
        """Takes rows, their faults and the mask of those without one.

        Whether an item can be had that has a fault there, nobody knows: it is taken for one that cannot.
        """
        unknown = faulty([each for each in faults if each.column in STAYS], rows.num_rows)
        available = pc.and_(pc.fill_null(rows["available"], True), pa.chunked_array([pa.array(~unknown)]))
        until = pc.if_else(pa.array(unknown), pa.scalar(None, pa.int64()), rows["available_until"])
        skipped = pa.array(np.zeros(rows.num_rows, bool))
        said = pa.table([rows["item_id"], available, until, skipped], schema=SCHEMA)
        self._parts.append(said.filter(pc.and_(pa.array(~good), said["item_id"].is_valid())))

    def add_skipped(self, ids: Iterable[pa.Array]) -> None:
        """Takes the items of rows that the config leaves out: with these it says that they are not offered."""
        for each in ids:
            columns = {"available": pa.repeat(False, len(each)), "skipped": pa.repeat(True, len(each))}
            columns |= {"item_id": each, "available_until": pa.nulls(len(each), pa.int64())}
            self._parts.append(pa.table(columns).select(SCHEMA.names))

    def table(self) -> pa.Table:
        """By id, as SCHEMA says: available where each of its rows is, until the earliest of their ends."""
        grouped = (
            pa.concat_tables(self._parts)
            .group_by("item_id")
            .aggregate([("available", "all"), ("available_until", "min"), ("skipped", "any")])
        )
        names = ("item_id", "available_all", "available_until_min", "skipped_any")
        return pa.table([grouped[name] for name in names], schema=SCHEMA)


def with_their_ends(made: pa.Table, refused: pa.Table) -> pa.Table:
    """Rows that are made of events' ids, with what refused rows of these ids say of their end.

    Args:
        made: rows of items, with nothing but an id.
        refused: of `RefusedItems`.
    """
    place = pc.index_in(made["item_id"], value_set=refused["item_id"].combine_chunks())
    for name in STAYS:
        made = made.set_column(made.column_names.index(name), made.schema.field(name), refused[name].take(place))
    return made


def rowless(seen: pa.Array, known: pa.Array, refused: pa.Table) -> pa.Array:
    """Of the ids in events those that no row of the items file has, good, refused or skipped.

    Args:
        seen: the ids in events.
        known: those of the accepted rows.
        refused: of `RefusedItems`.
    """
    rows = pa.concat_arrays([known, refused["item_id"].combine_chunks()])
    return seen.filter(pc.invert(pc.is_in(seen, value_set=rows)))
