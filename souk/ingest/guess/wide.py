"""Tables with a column for each item, 0 or 1 in it, as monthly states of what customers have."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.flags import FLAGS, asked
from souk.ingest.guess.names import kind_of
from souk.ingest.profile import Column

FEWEST, SHARE = 8, 0.4  # columns of 0 and 1, and the share of all, from which on they are items
ALONE = {*FLAGS, "0.0", "1.0", *cells.MISSING}  # values of such a column, in small letters
SHOWN = 3


def check_wide(events: Table) -> None:
    """Refuses a table of events in which no column goes by a name for items and many are 0 or 1: a row is the state of
    a user at a time, or a basket, and no event.

    Raises:
        SoukError: it is so.
    """
    flags = [column for column in events.columns if _has(column)]
    if len(flags) < max(FEWEST, SHARE * len(events.columns)) or column_named(events, "item_id") is not None:
        return
    names = ", ".join(column.name for column in flags[:SHOWN])
    raise SoukError(
        f"a row for each event in {events.source.path}, with the item in a column",
        f"{len(flags)} of {len(events.columns)} columns that are 0 or 1, such as {names}",
        "If each is an item that the user of the row has, write a row for each that comes, and each that goes, with a "
        "few lines of pandas (docs/data.md, A column for each item).",
    )


def _has(column: Column) -> bool:
    """Whether a column has nothing but 0 and 1, and does not say what was done, as `is_click`."""
    if column.nested or not len(column.texts) or column.distinct > len(ALONE) or kind_of(asked(column)):
        return False
    return bool(pc.all(pc.is_in(pc.utf8_lower(column.texts), value_set=pa.array(sorted(ALONE)))).as_py())
