"""Whether the items of events are users, and their users items: two columns that the config exchanges."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest.notices import USUAL
from souk.schema import ID_COLUMN

OTHER = {"items": "users", "users": "items"}


def check_exchanged(known: Mapping[str, pa.Array], seen: Mapping[str, pa.Array], names: Mapping[str, str]) -> None:
    """Refuses events of which no id is in its own file, and of one side as many as usual are in the other's.

    Args:
        known: the ids in the files of items and users, by table; none of a table without a file.
        seen: the items and users that events mention, by table.
        names: columns of events that the config maps, with the file's names for them.

    Raises:
        SoukError: they look exchanged.
    """
    if any(_within(seen[table], ids) for table, ids in known.items()):
        return
    for table, ids in known.items():
        strange = seen[OTHER[table]]
        if len(strange) and (count := _within(strange, ids)) >= USUAL[table] * len(strange):
            user, item = (names.get(name, name) for name in (ID_COLUMN["users"], ID_COLUMN["items"]))
            here, there = ID_COLUMN[OTHER[table]], ID_COLUMN[table]
            raise SoukError(
                f"the {there} of events to be in the file of {table}",
                f"none that is, and {count:,} of {len(strange):,} {here} that are",
                f"The two look exchanged: set data.events.columns to {{user_id: {item}, item_id: {user}}}.",
            )


def _within(ids: pa.Array, known: pa.Array) -> int:
    """How many of `ids` are known."""
    return pc.sum(pc.is_in(ids, value_set=known)).as_py() or 0
