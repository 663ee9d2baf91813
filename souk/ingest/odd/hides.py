"""Hides that hide nothing: their `value` says that they are taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
from pyarrow import parquet

from souk.schema import EventType

MANY = 0.2  # share that is worth a word: a log that begins with some hides of before it has a few


def odd_hides(events: Path) -> Iterator[str]:
    """Whether hides have the value 0 with no hide before them that it could take back.

    Exports write 0 where there is no value. Read as the contract says, nothing that the users hid would be hidden.

    Args:
        events: `events.parquet`.
    """
    names = ["user_id", "item_id", "timestamp", "value"]
    if "value" not in parquet.read_schema(events).names:
        return
    hides = parquet.read_table(events, columns=names, filters=pc.field("event_type") == str(EventType.HIDE)).to_pandas()
    hides["hides"] = hides.pop("value") != 0
    hides = hides.sort_values(["timestamp", "hides"], ascending=[True, False], kind="stable")
    known = hides.groupby(["user_id", "item_id"], sort=False)["hides"].cummax()
    idle = int((~known.astype(bool)).sum())
    if idle > MANY * len(hides):
        found = (
            f"events: {idle:,} of {len(hides):,} hides have the value 0, which takes a hide back, and none before them"
        )
        yield f"{found}: they hide nothing. Leave `value` empty in the rows of hides"
