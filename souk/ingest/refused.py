"""What refused rows say of the end of their items: those that events mention stay in the table, without columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.faults import Fault, faulty

STAYS = ("available", "available_until")
SCHEMA = pa.schema([("item_id", pa.string()), ("available", pa.bool_()), ("available_until", pa.int64())])


class RefusedItems:
    """Takes the refused rows of items, and gives one for each id."""

    def __init__(self) -> None:
        self._parts = [SCHEMA.empty_table()]

    def add(self, rows: pa.Table, faults: list[Fault], good: np.ndarray) -> None:
        """Takes rows, their faults and the mask of those without one.

        Whether an item can be had that has a fault there, nobody knows: it is taken for one that cannot.
        """
        unknown = faulty([each for each in faults if each.column in STAYS], rows.num_rows)
        available = pc.and_(pc.fill_null(rows["available"], True), pa.chunked_array([pa.array(~unknown)]))
        until = pc.if_else(pa.array(unknown), pa.scalar(None, pa.int64()), rows["available_until"])
        said = pa.table([rows["item_id"], available, until], schema=SCHEMA)
        self._parts.append(said.filter(pc.and_(pa.array(~good), said["item_id"].is_valid())))

    def table(self) -> pa.Table:
        """By id, as SCHEMA says: available where each of its rows is, until the earliest of their ends."""
        grouped = (
            pa.concat_tables(self._parts)
            .group_by("item_id")
            .aggregate([("available", "all"), ("available_until", "min")])
        )
        return pa.table([grouped[name] for name in ("item_id", "available_all", "available_until_min")], schema=SCHEMA)


def with_their_ends(made: pa.Table, refused: pa.Table) -> pa.Table:
    """Rows that are made of events' ids, with what refused rows of these ids say of their end.

    Args:
        made: of items, with nothing but an id.
        refused: of `RefusedItems`.
    """
    place = pc.index_in(made["item_id"], value_set=refused["item_id"].combine_chunks())
    for name in STAYS:
        made = made.set_column(made.column_names.index(name), made.schema.field(name), refused[name].take(place))
    return made
