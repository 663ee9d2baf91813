"""Objectives whose `engaged` has the next steps of a visit: the figures would be of who repeats the last item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.features.labels import engaging_rows, keeping_rows
from souk.next_steps import MUCH, PAUSE_MS, STEPS, next_steps
from souk.schema import DAY_MS, MINUTE_MS
from souk.spec import FeatureSpec
from souk.withheld import excluded_since, paused_since

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
    kept = since if spec.repeat.rule == "always" else excluded_since(since, spec)  # what keeps items out since then
    earliest = kept and min(kept, paused_since(since, spec))
    rows = pq.read_table(events, columns=names, filters=acts + ([("timestamp", ">=", earliest)] if earliest else []))
    kinds = rows["event_type"].combine_chunks().dictionary_encode()
    steps = np.array([STEPS[kind] for kind in kinds.dictionary.to_pylist()], np.int64)[kinds.indices.to_numpy()]
    pairs, times = _pairs(rows), rows["timestamp"].to_numpy()
    engaged = engaging_rows(rows, spec.objectives.engaged)
    asked = engaged & ~_kept_out(pairs, times, keeping_rows(rows, spec), spec) & (times >= since)
    follows = asked & next_steps(pairs, steps, times)
    share = follows.sum() / max(1, asked.sum())
    if share < MUCH:
        return
    own = {kind: steps == STEPS[kind] for kind in spec.objectives.engaged.events}
    counts = [(kind, follows[mine].sum(), asked[mine].sum()) for kind, mine in own.items()]
    told = " and ".join(f"{some:,} of {every:,} {kind}s" for kind, some, every in counts if some)
    first = list(STEPS)[steps[times >= since].min()]
    short = first in spec.objectives.engaged.events and spec.repeat.pause_minutes * MINUTE_MS < PAUSE_MS
    other = f", or keep out what is at hand by `repeat: {{pause_minutes: {PAUSE_MS // MINUTE_MS}}}`" if short else ""
    yield (
        f"engaged: in the validation and test windows {told} come within half an hour after another act of the same "
        f"user with the same item: of {share:.0%} of what is asked for the last item is the answer, and the figures "
        f"will say little of what is recommended. Let engaged be the first step alone ({first}), with what is to come "
        f"of it as `followed_by` of satisfied{other} (docs/data.md)"
    )


def _kept_out(pairs: np.ndarray, times: np.ndarray, keeping: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Which rows nobody can be right about: `souk.withheld.repeat_excluded` has their items, `[rows]` bool.

    Args:
        pairs: `[rows]` int64, one for each user and item.
        times: `[rows]` int64 milliseconds.
        keeping: `[rows]` bool, what counts for the rule.
        spec: has the rule and the pause.
    """
    found = _since(pairs, times, np.ones(len(pairs), bool)) < spec.repeat.pause_minutes * MINUTE_MS
    if spec.repeat.rule == "always":
        return found
    days = spec.repeat.days if spec.repeat.rule == "after_days" else np.inf
    return found | (_since(pairs, times, keeping) < days * DAY_MS)


def _since(pairs: np.ndarray, times: np.ndarray, these: np.ndarray) -> np.ndarray:
    """Milliseconds from the last of `these` before each row, of its pair and at an earlier time; inf without one."""
    order = np.lexsort((times, pairs))
    pairs, times, these = pairs[order], times[order], these[order]
    moments = np.diff(pairs, prepend=-1).astype(bool) | np.diff(times, prepend=-1).astype(bool)
    place = np.arange(len(order))
    begun = np.maximum.accumulate(np.where(moments, place, 0))  # where each row's moment begins
    last = np.concatenate([[-1], np.maximum.accumulate(np.where(these, place, -1))])[begun]
    found = np.full(len(order), np.inf)
    found[order] = np.where((last >= 0) & (pairs[last] == pairs), times - times[last], np.inf)
    return found


def _pairs(rows: pa.Table) -> np.ndarray:
    """`[rows]` int64, one for each user and item."""
    users, items = (
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("user_id", "item_id")
    )
    return np.asarray(users * (items.max(initial=0) + 1) + items)
