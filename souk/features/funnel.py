"""Objectives whose `engaged` has the next steps of a visit: the figures would be of who repeats the last item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.features.labels import engaging_rows
from souk.next_steps import MUCH, STEPS, next_steps
from souk.schema import DAY_MS
from souk.spec import FeatureSpec
from souk.withheld import excluded_since

COLUMNS = ("user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds")


def funnel(events: Path, spec: FeatureSpec, since: int) -> Iterator[str]:
    """What a reader should know before anything is trained, where what is asked for is the item at hand.

    Args:
        events: `events.parquet`.
        spec: what engages, and when an item may be recommended again.
        since: the first time that is looked at, UTC epoch milliseconds.
    """
    names = [name for name in COLUMNS if name in pq.read_schema(events).names]
    acts = [("event_type", "in", [str(kind) for kind in spec.history_events])]
    earliest = since if spec.repeat.rule == "always" else excluded_since(since, spec)  # what keeps items out since then
    rows = pq.read_table(events, columns=names, filters=acts + ([("timestamp", ">=", earliest)] if earliest else []))
    kinds = rows["event_type"].combine_chunks().dictionary_encode()
    steps = np.array([STEPS[kind] for kind in kinds.dictionary.to_pylist()], np.int64)[kinds.indices.to_numpy()]
    pairs, times = _pairs(rows), rows["timestamp"].to_numpy()
    engaged = engaging_rows(rows, spec.objectives.engaged)
    asked = engaged & ~_kept_out(pairs, times, engaged, spec) & (times >= since)
    follows = asked & next_steps(pairs, steps, times)
    share = follows.sum() / max(1, asked.sum())
    if share < MUCH:
        return
    own = {kind: steps == STEPS[kind] for kind in spec.objectives.engaged.events}
    counts = [(kind, follows[mine].sum(), asked[mine].sum()) for kind, mine in own.items()]
    told = " and ".join(f"{some:,} of {every:,} {kind}s" for kind, some, every in counts if some)
    first = list(STEPS)[steps[times >= since].min()]
    kept = spec.repeat.rule != "never" and first in spec.objectives.engaged.events
    other = ", or let `repeat` keep out what was taken" if kept else ""
    yield (
        f"engaged: in the validation and test windows {told} come within half an hour after another act of the same "
        f"user with the same item: of {share:.0%} of what is asked for the last item is the answer, and the figures "
        f"will say little of what is recommended. Let engaged be the first step alone ({first}), with what is to come "
        f"of it as `followed_by` of satisfied{other} (docs/data.md)"
    )


def _kept_out(pairs: np.ndarray, times: np.ndarray, engaged: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Which rows nobody can be right about: `souk.withheld.repeat_excluded` has their items, `[rows]` bool."""
    found = np.zeros(len(pairs), bool)
    if spec.repeat.rule == "always":
        return found
    rows = np.flatnonzero(engaged)
    rows = rows[np.lexsort((times[rows], pairs[rows]))]
    pairs, times = pairs[rows], times[rows]
    moments = np.diff(pairs, prepend=-1).astype(bool) | np.diff(times, prepend=-1).astype(bool)
    before = np.maximum.accumulate(np.where(moments, np.arange(len(rows)), 0)) - 1  # -1: of another pair, or none
    again = (before >= 0) & (pairs[before] == pairs)
    if spec.repeat.rule == "after_days":
        again &= times - times[before] < spec.repeat.days * DAY_MS
    found[rows[again]] = True
    return found


def _pairs(rows: pa.Table) -> np.ndarray:
    """`[rows]` int64, one for each user and item."""
    users, items = (
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("user_id", "item_id")
    )
    return np.asarray(users * (items.max(initial=0) + 1) + items)
