"""Objectives whose `engaged` has the next steps of a visit: the figures would be of who repeats the last item,
or, where a pause keeps these back, of little."""

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
MOSTLY = 0.8  # share of what engages: where more is at hand, little is left to learn from and to ask for


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
    kinds = rows["event_type"].dictionary_encode().combine_chunks()
    steps = np.array([STEPS[kind] for kind in kinds.dictionary.to_pylist()], np.int64)[kinds.indices.to_numpy()]
    pairs, times = _pairs(rows), rows["timestamp"].to_numpy()
    engaged = engaging_rows(rows, spec.objectives.engaged)
    held = _since(pairs, times, np.ones(len(pairs), bool)) < spec.repeat.pause_minutes * MINUTE_MS
    wanted, paused = engaged & (times >= since), engaged & held & (times >= since)
    if paused.sum() > MOSTLY * wanted.sum():
        yield (
            f"repeat: in the validation and test windows {paused.sum():,} of {wanted.sum():,} that engage are with "
            "what was at hand, which pause_minutes keeps out: only the others are asked for, and towers learn from "
            "such alone. Let engaged be the first step of a visit, or lower pause_minutes (docs/data.md)"
        )
    asked = wanted & ~held & ~_kept_out(pairs, times, keeping_rows(rows, spec), spec)
    lasted = 1000 * rows["dwell_seconds"].to_numpy() if "dwell_seconds" in names else None
    follows = asked & next_steps(pairs, steps, times, lasted)
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
        f"user with the same item, or its end: of {share:.0%} of what is asked for the last item is the answer, and "
        f"the figures will say little of what is recommended. Let engaged be the first step alone ({first}), with what "
        f"is to come of it as `followed_by` of satisfied{other} (docs/data.md)"
    )


def _kept_out(pairs: np.ndarray, times: np.ndarray, keeping: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Which rows nobody can be right about by the rule of `repeat`, `[rows]` bool.

    Args:
        pairs: `[rows]` int64, one for each user and item.
        times: `[rows]` int64 milliseconds.
        keeping: `[rows]` bool, what counts for the rule.
        spec: has the rule.
    """
    if spec.repeat.rule == "always":
        return np.zeros(len(pairs), bool)
    days = spec.repeat.days if spec.repeat.rule == "after_days" else np.inf
    return _since(pairs, times, keeping) < days * DAY_MS


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
        rows[name].dictionary_encode().combine_chunks().indices.to_numpy().astype(np.int64)
        for name in ("user_id", "item_id")
    )
    return np.asarray(users * (items.max(initial=0) + 1) + items)
