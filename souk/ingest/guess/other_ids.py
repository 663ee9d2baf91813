"""Ids of items that stand in several columns of events, as those of tracks and of episodes, of which a row has one."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.guess.names import NAMES, OBJECTS, SELLERS
from souk.ingest.profile import MANY, Column
from souk.ingest.templates import OR

# How the names of ids end; beside them a name may be of several items.
ENDINGS = {"id", "uri", "url", "urn", "key", "code", "nr", "no", "number", "ref", "uuid", "guid", "sku", "msid", "mbid"}
GOODS = {*OBJECTS, *NAMES["item_id"], "episode", "podcast", "audiobook", "chapter", "clip"} - SELLERS
ENOUGH = 0.5  # of the rows without an id, those to which another column gives one, and of its ids those of the file


def names_id(column: Column) -> bool:
    """Whether the name of a column ends as those of ids do: of `track_name` and `track_uri` the second is one."""
    return column.snake.split("_")[-1] in ENDINGS


def map_other_ids(events: Table, items: Table | None) -> None:
    """Maps the item to the first of several columns that has a value, where others of items have one in rows that lack
    it, and in hardly any of the rest.

    Args:
        events: with the item mapped.
        items: with theirs mapped, if there are any.
    """
    theirs = items.mapped["item_id"][0] if items else None
    column, evidence = events.mapped["item_id"]
    if column.nested or set("{}|") & set(column.name):
        return
    ids, names = cells.parse_text(column.values)[0], [column.name]
    for other in [c for c in events.free if names_id(c) and not c.nested and GOODS & {*c.snake.split("_")}]:
        own = cells.parse_text(other.values)[0]
        gained = len(own.filter(ids.is_null()).drop_null())
        beside = len(own) - own.null_count - gained
        known = theirs is None or pc.mean(pc.is_in(pc.unique(own.drop_null()), value_set=theirs.texts)).as_py() or 0
        if not gained or gained < ENOUGH * ids.null_count or beside > (1 - MANY) * (gained + beside):
            continue
        if known >= ENOUGH and not set("{}|") & set(other.name):
            names.append(other.name)
            ids = pc.coalesce(ids, own)
    if len(names) > 1:
        count = pc.sum(pc.and_(ids.is_valid(), cells.parse_text(column.values)[0].is_null())).as_py()
        why = f"{count:,} of {len(ids):,} rows have no {column.name}, and the next of these; {evidence}"
        events.templates["item_id"] = f"{{{OR.join(names)}}}", why
        events.mapped["item_id"] = Column(column.name, pa.array(ids)), why
