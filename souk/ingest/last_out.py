"""Leave-last-out as a split in time: a clock that counts each user's events from the last one back.

Papers hold out the last event of every user for testing and the one before it for validation. Under this clock those
are the events of the last two days, so that the windows, the features and the evaluation need no second form.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.ingest.files import write_parquet
from souk.schema import DAY_MS


def leave_last_out(events: Path, items: Path) -> None:
    """Replaces the times of an events table, and drops the creation times of the items.

    A user's n-th event from the end happens n - 1 days before the last midnight of the data. Events
    of one user at one time count in the order of their ids. Gaps between events, hours and what was popular when are
    lost.

    Args:
        events: `events.parquet`, in the order of time and id; held in memory.
        items: `items.parquet`.
    """
    table = parquet.read_table(events)
    users = pc.dictionary_encode(table["user_id"]).combine_chunks().indices.to_numpy()
    order = np.lexsort((np.arange(len(users)), users))
    ends = np.searchsorted(users[order], np.arange(users.max() + 1), side="right")
    from_end = np.empty(len(users), np.int64)
    from_end[order] = ends[users[order]] - 1 - np.arange(len(users))
    last = int(pc.max(table["timestamp"]).as_py()) // DAY_MS * DAY_MS
    place = table.column_names.index("timestamp")
    times = pa.array(last - from_end * DAY_MS, table.schema.field(place).type)
    table = table.set_column(place, table.schema.field(place), times)
    keys = [("timestamp", "ascending"), ("event_id", "ascending")]
    write_parquet(table.sort_by(keys), events)
    listed = parquet.read_table(items)
    if "created_at" in listed.column_names:
        place = listed.column_names.index("created_at")
        field = listed.schema.field(place)
        write_parquet(listed.set_column(place, field, pa.nulls(len(listed), field.type)), items)
