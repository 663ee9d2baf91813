"""What of a history the models look at, where the data decides: how long it is, which types of events differ, and
whether the time of day tells anything."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.labels import engaging_rows
from souk.schema import DAY_MS
from souk.spec import FeatureSpec

LENGTHS = (32, 64, 128)
SHARE = 75  # percent of the users whose whole history is to fit
RARE = 0.001  # a type of so few of the events is none that anything could be learned of
MIDNIGHTS = 2  # times of day of dates alone: that of summer time is another
TIMED = 0.1  # share of the events that are at other times, where events have hours


def history_length(events: str | Path, spec: FeatureSpec, before: int) -> int:
    """The smallest of LENGTHS above the events of SHARE percent of the users (one less is seen), or the largest.

    Powers of two, so that a data set that grows keeps its length, and with it its features, most of the time.

    Args:
        events: the accepted events, a Parquet file.
        spec: says which event types make a history.
        before: UTC epoch milliseconds, the start of validation: later events may not choose.
    """
    kinds = pa.array([str(kind) for kind in spec.history_events])
    counts: Counter[str] = Counter()
    for batch in pq.ParquetFile(events).iter_batches(columns=["user_id", "event_type", "timestamp"]):
        early = pc.less(batch["timestamp"], before)
        users = batch["user_id"].filter(pc.and_(early, pc.is_in(batch["event_type"], kinds)))
        counts.update({row["values"]: row["counts"] for row in pc.value_counts(users).to_pylist()})
    wanted = np.percentile([*counts.values()], SHARE) if counts else 0
    return next((length for length in LENGTHS if length > wanted), LENGTHS[-1])


def told_apart(events: str | Path, spec: FeatureSpec, before: int) -> tuple[str, ...]:
    """The types of events that users do more than one of, each in a thousandth of a history's events at least.

    Args:
        events: the accepted events, a Parquet file.
        spec: says which event types make a history.
        before: UTC epoch milliseconds, the start of validation: later events may not choose.
    """
    counts: Counter[str] = Counter()
    for batch in pq.ParquetFile(events).iter_batches(columns=["event_type", "timestamp"]):
        types = batch["event_type"].filter(pc.less(batch["timestamp"], before))
        counts.update({row["values"]: row["counts"] for row in pc.value_counts(types).to_pylist()})
    known = {str(kind): counts[str(kind)] for kind in spec.history_events}
    found = tuple(kind for kind, count in known.items() if count > RARE * sum(known.values()))
    return found if len(found) > 1 else ()


def timed(events: str | Path, spec: FeatureSpec, before: int) -> bool:
    """Whether engagements have a time of day: not where nearly all are dates, as of a shop whose log has just begun.

    Args:
        events: the accepted events, a Parquet file.
        spec: says which events engage.
        before: UTC epoch milliseconds, the start of validation: later events may not choose.
    """
    file, wanted = pq.ParquetFile(events), ("event_type", "timestamp", "value", "dwell_seconds")
    names = [name for name in wanted if name in file.schema_arrow.names]
    hours = [np.zeros(0, np.int32)]
    for batch in file.iter_batches(columns=names):
        rows = pa.Table.from_batches([batch])
        times = rows["timestamp"].to_numpy()[engaging_rows(rows, spec.objectives.engaged)]
        hours.append((times[times < before] % DAY_MS).astype(np.int32))
    _, counts = np.unique(np.concatenate(hours), return_counts=True)
    return bool(np.sort(counts)[:-MIDNIGHTS].sum() > TIMED * counts.sum())
