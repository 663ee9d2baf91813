"""Items that stand in the rows of the events alone: the columns that say something of each item."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.guess.fit import one_each
from souk.ingest.profile import MANY, Column

MOST = 0.5  # of the rows, that one value may have which tells of items
SEVERAL = 1  # further rows of an item with its commonest value, on the mean: fewer agree by chance


def same_file(events: str, items: str | None) -> bool:
    """Whether the items are to be read from the file of the events."""
    return items is not None and (items == events or os.path.abspath(items) == os.path.abspath(events))


def items_of(events: Table) -> Table:
    """A table of the items of events, of whose rows the first of each item counts.

    Args:
        events: with their ids mapped.

    Raises:
        SoukError: no column has one value for each item.
    """
    item, _ = events.mapped["item_id"]
    ids = cells.parse_text(item.values)[0]
    first = pa.array(~ids.to_pandas().duplicated() & ids.to_pandas().notna())
    told = [c for c in events.free if not c.nested and (one_each(ids, c.values, again=True) or _mostly(ids, c.values))]
    if not told:
        raise SoukError(
            f"columns of {events.source.path} that have one value for each {item.name}",
            ", ".join(column.name for column in events.columns),
            "Leave --items out, or give a file of the items.",
        )
    columns = [Column(column.name, column.values.filter(first)) for column in (item, *told)]
    table = Table("items", events.source.model_copy(update={"repeated_ids": "first", "skip": {}}), columns)
    table.mapped["item_id"] = columns[0], "each row of an event names one"
    if "item_id" in events.templates:
        table.templates["item_id"] = events.templates["item_id"]
    table.notes = {key: why for key, why in events.notes.items() if key == "decimal"}
    table.notes["repeated_ids"] = "the first row of an item says what it is: what changes is of the oldest"
    return table


def _mostly(ids: pa.Array, values: pa.Array) -> bool:
    """Whether nearly all rows have the commonest value of their item, where no value is that of most rows: a
    description that is misspelt now and then, or is a remark of the warehouse."""
    rows = pd.DataFrame({"id": cells.parse_text(ids)[0].to_pandas(), "value": cells.parse_text(values)[0].to_pandas()})
    rows = rows.dropna()
    rows = rows[rows["id"].duplicated(keep=False)]
    if not len(rows) or rows["value"].value_counts(normalize=True).iloc[0] > MOST:
        return False
    own = rows.groupby("id")["value"].value_counts().groupby("id").max()
    return bool(own.sum() >= MANY * len(rows) and own.sum() - len(own) >= SEVERAL * len(own))


def leave_to_items(tables: Mapping[str, Table]) -> None:
    """Says nothing of columns of the events that are those of their items, where both are of one file."""
    events, items = tables["events"], tables.get("items")
    if items is not None and same_file(events.source.path, items.source.path):
        own = {column.name for column in items.columns}
        events.left_out = [(name, why) for name, why in events.left_out if name not in own]
