"""Signs in accepted events that the config reads them wrongly: no row is refused for them, and little is learned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.ingest.notices import moment
from souk.ingest.odd.dwell import odd_dwell
from souk.ingest.odd.hours import odd_hours
from souk.ingest.odd.jobs import odd_jobs
from souk.ingest.odd.ratings import Ratings
from souk.ingest.sample import Sample
from souk.schema import DAY_MS, EventType

COLUMNS = ("user_id", "request_id", "event_type", "timestamp", "dwell_seconds", "value")
MANY = 0.2  # share that is worth a word
MOST, FAR, FEWEST = (0.01, 0.99), 0.5, 100  # shares of the events, of the time between them, and events


def odd_events(file: Path, timezone: str = "UTC") -> Iterator[str]:
    """What a reader should know of the events, from all of them or a sample.

    Args:
        file: `events.parquet`.
        timezone: of their source, for times that name none.
    """
    events = parquet.ParquetFile(file)
    names = [name for name in COLUMNS if name in events.schema_arrow.names]
    sample, count = Sample(pa.schema([events.schema_arrow.field(name) for name in names])), 0
    last, ratings = 0, Ratings()
    for batch in events.iter_batches(columns=names):
        count += batch.num_rows
        last = max(last, pc.max(batch["timestamp"]).as_py() or 0)
        ratings.add(batch)
        sample.add(pa.Table.from_batches([batch]), np.ones(batch.num_rows, bool))
    rows = sample.table
    among = f", in a sample of {rows.num_rows:,} events" if rows.num_rows < count else ""
    acts = rows.filter(pc.invert(_of(rows, EventType.IMPRESSION)))
    hours = odd_hours(acts["timestamp"].to_numpy(), timezone)
    jobs = odd_jobs(rows.filter(_of(rows, EventType.PURCHASE))["timestamp"].to_numpy())
    dwell = odd_dwell(rows["dwell_seconds"].to_numpy()) if "dwell_seconds" in names else ()
    for line in (*shared_requests(rows), *timed_impressions(rows), *dwell, *hours, *jobs):
        yield line + among
    yield from ratings.notices()
    end = end_of_most(rows["timestamp"].to_numpy())
    if last > end:
        times = (batch["timestamp"].to_numpy() for batch in events.iter_batches(columns=["timestamp"]))
        late, usual = _parted(times, end)
        found = f"events: {late:,} of {count:,} come long after the others, the latest on {moment(last)}"
        why = "where their dates are wrong, leave them out: the test window and what a release knows end with them"
        yield f"{found}; those on {moment(usual)} at the latest: {why}"


def end_of_most(times: np.ndarray) -> float:
    """The last time that an event may have and not be far beyond the others, as by an error in its date: half the time
    that most of them take, after these. Infinity where there are too few to tell.

    Args:
        times: `[events]` of events, in any order.
    """
    if len(times) < FEWEST:
        return np.inf
    first, last = np.quantile(times, MOST, method="lower").tolist()
    return float(last + FAR * (last - first)) if last > first else np.inf


def _parted(batches: Iterator[np.ndarray], end: float) -> tuple[int, int]:
    """How many times come after `end`, and the last of the others."""
    late, usual = 0, 0
    for times in batches:
        late += int((times > end).sum())
        usual = max(usual, int(times[times <= end].max(initial=0)))
    return late, usual


def shared_requests(rows: pa.Table) -> Iterator[str]:
    """Whether requests share an id: their impressions are of several users, or lie more than a day apart.

    Args:
        rows: of an events table.
    """
    if not {"request_id", "user_id"} <= set(rows.column_names):
        return
    shown = rows.filter(pc.and_(_of(rows, EventType.IMPRESSION), rows["request_id"].is_valid()))
    wanted = [("user_id", "count_distinct"), ("timestamp", "count"), ("timestamp", "min"), ("timestamp", "max")]
    slates = shown.group_by("request_id").aggregate(wanted)
    slates = slates.filter(pc.greater(slates["timestamp_count"], 1))
    users = slates["user_id_count_distinct"].to_numpy() > 1
    days = slates["timestamp_max"].to_numpy() - slates["timestamp_min"].to_numpy() > DAY_MS
    if (users | days).sum() > MANY * len(slates):
        found = f"events: of {len(slates):,} request_id with several impressions {users.sum():,} have several users"
        why = "what shares an id counts as one slate: numbers that begin anew need more in them, as by `templates`"
        yield f"{found}, and {days.sum():,} last more than a day; {why}"


def timed_impressions(rows: pa.Table) -> Iterator[str]:
    """Whether impressions have dwell times and clicks have none.

    Args:
        rows: of an events table.
    """
    if "dwell_seconds" not in rows.column_names:
        return
    dwelt = pc.fill_null(pc.greater(rows["dwell_seconds"], 0), False)
    kinds = (_of(rows, EventType.IMPRESSION), _of(rows, EventType.CLICK))
    shown, clicked = (_count(kind) for kind in kinds)
    stayed, read = (_count(pc.and_(kind, dwelt)) for kind in kinds)
    if clicked and not read and stayed > MANY * shown:
        found = f"events: {stayed:,} of {shown:,} impressions have dwell_seconds, and none of {clicked:,} clicks"
        yield f"{found}: does event_types take one for the other?"


def _of(rows: pa.Table, *kinds: EventType) -> pa.ChunkedArray:
    return pc.is_in(rows["event_type"], value_set=pa.array([str(kind) for kind in kinds]))


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
