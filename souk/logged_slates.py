"""The logged slates of engaging events, as `build_features` leaves them in `impressions.parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.schema import FOREVER

FILE = "impressions.parquet"
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("items", pa.list_(pa.string())),
        ("places", pa.list_(pa.int16())),
        ("engaged", pa.list_(pa.bool_())),
        ("shown_at", pa.list_(pa.int64())),  # UTC epoch milliseconds
        ("taken_at", pa.list_(pa.int64())),  # null where the user took it never
    ]
)


class LoggedSlate(NamedTuple):
    """What the request of an engaging event showed.

    Args:
        items: ids, in the order of their places.
        places: from 1.
        engaged: whether the user took the item, then or later in the same request.
    """

    items: list[str]
    places: list[int]
    engaged: list[bool]


def read_slates(path: Path, events: Iterable[str], until: int = FOREVER) -> dict[str, LoggedSlate]:
    """The slates of `events`, by event; those that have none are left out, as are those of which nothing was left.

    Args:
        path: the file; where there is none, no slate was logged.
        events: ids of engaging events.
        until: UTC epoch milliseconds; what was shown or taken from then on is not known.
    """
    if not path.is_file():
        return {}
    rows = pq.read_table(path, filters=pc.field("event_id").isin([*events])).to_pylist()
    slates = {row["event_id"]: _known(row, until) for row in rows}
    return {event: slate for event, slate in slates.items() if not all(slate.engaged)}


def _known(row: Mapping[str, Any], until: int) -> LoggedSlate:
    without = [None] * len(row["items"])  # a file of a version before has no times
    times = (row.get(name) or without for name in ("shown_at", "taken_at"))
    slate = LoggedSlate([], [], [])
    for item, place, took, shown, taken in zip(row["items"], row["places"], row["engaged"], *times, strict=True):
        if (shown or 0) < until:
            slate.items.append(item)
            slate.places.append(place)
            slate.engaged.append(took and (taken or 0) < until)
    return slate
