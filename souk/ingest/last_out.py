"""Leave-last-out as a split in time: a clock that counts each user's engagements from the last one back.

Papers hold out the last target of every user for testing and the one before it for validation. Under this clock those
are the engagements of the last two days, so that the windows, the features and the evaluation need no second form.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.ingest.convert import TIMES
from souk.ingest.files import write_parquet
from souk.ordered import in_order
from souk.schema import DAY_MS


def leave_last_out(events: Path, items: Path, targets: Callable[[pa.Table], np.ndarray]) -> None:
    """Replaces the times of an events table, and drops those of the items.

    A user's n-th engagement from the end happens n - 1 days before the last midnight of the data. What leads to it
    comes in the milliseconds before it, what comes after the last one in those after it; all that a user without any
    does is before both windows. Events of one user at one time count in the order of their ids. Gaps between events,
    hours and what was popular when are lost.

    Args:
        events: `events.parquet`, in the order of time and id; held in memory.
        items: `items.parquet`.
        targets: says which rows of an events table are engagements, `[rows] bool`.
    """
    table = parquet.read_table(events)
    users = pc.dictionary_encode(table["user_id"]).combine_chunks().indices.to_numpy()
    order = np.argsort(users, kind="stable")
    shift = np.empty(len(users), np.int64)
    shift[order] = _clock(users[order], np.asarray(targets(table), bool)[order])
    ended = int(pc.max(table["timestamp"]).as_py()) + 1
    last = (ended - 1) // DAY_MS * DAY_MS
    place = table.column_names.index("timestamp")
    times = pa.array(last + shift, table.schema.field(place).type)
    table = table.set_column(place, table.schema.field(place), times)
    write_parquet(in_order(table, ["timestamp", "event_id"]), events)
    listed = parquet.read_table(items)
    if {"available", "available_until"} <= set(listed.column_names):  # what has ended was available until then
        until = pc.less(listed["available_until"], ended)
        place = listed.column_names.index("available")
        available = pc.or_(pc.fill_null(listed["available"], True), pc.fill_null(until, False))
        listed = listed.set_column(place, listed.schema.field(place), available)
    for place, field in enumerate(listed.schema):
        if field.name in TIMES:
            listed = listed.set_column(place, field, pa.nulls(len(listed), field.type))
    write_parquet(listed, items)


def _clock(users: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Milliseconds from the last midnight to each of events in the order of users, places 0 to the last, and time."""
    rows = np.arange(len(users))
    ends = np.searchsorted(users, np.arange(users.max() + 1), side="right")[users]
    count = np.concatenate([[0], np.cumsum(wanted)])
    after = count[ends] - count[rows]  # engagements from here on
    following = np.append(np.flatnonzero(wanted), len(users))[count[:-1]]
    starts = np.searchsorted(users, users)
    previous = np.maximum.accumulate(np.where(wanted, rows, -1))
    none = count[ends] == count[starts]
    behind = np.where(none, rows - ends - 2 * DAY_MS, rows - previous)
    return np.where(after > 0, (1 - after) * DAY_MS + rows - following, behind)
