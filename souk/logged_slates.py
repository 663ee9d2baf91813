"""The logged slates of engaging events, as `build_features` leaves them in `impressions.parquet`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILE = "impressions.parquet"
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("items", pa.list_(pa.string())),
        ("places", pa.list_(pa.int16())),
        ("engaged", pa.list_(pa.bool_())),
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


def read_slates(path: Path, events: Iterable[str]) -> dict[str, LoggedSlate]:
    """The slates of `events`, by event; those that have none are left out.

    Args:
        path: the file; where there is none, no slate was logged.
        events: ids of engaging events.
    """
    if not path.is_file():
        return {}
    columns = pq.read_table(path, columns=SCHEMA.names, filters=pc.field("event_id").isin([*events])).to_pydict()
    return {event: LoggedSlate(*slate) for event, *slate in zip(*columns.values(), strict=True)}
