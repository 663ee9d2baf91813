"""Objectives whose `engaged` has the next steps of a visit: the figures would be of who repeats the last item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.features.labels import engaging_rows
from souk.next_steps import MUCH, STEPS, next_steps
from souk.spec import FeatureSpec

COLUMNS = ("user_id", "item_id", "event_type", "timestamp", "value", "dwell_seconds")


def funnel(events: Path, spec: FeatureSpec, since: int) -> Iterator[str]:
    """What a reader should know before anything is trained, where a user's items come back.

    Args:
        events: `events.parquet`.
        spec: what engages, and when an item may be recommended again.
        since: the first time that is looked at, UTC epoch milliseconds.
    """
    if spec.repeat.rule != "always":  # what was engaged with is kept out, and nobody can repeat it
        return
    names = [name for name in COLUMNS if name in pq.read_schema(events).names]
    acts = [("event_type", "in", [str(kind) for kind in spec.history_events]), ("timestamp", ">=", since)]
    rows = pq.read_table(events, columns=names, filters=acts)
    kinds = rows["event_type"].combine_chunks().dictionary_encode()
    steps = np.array([STEPS[kind] for kind in kinds.dictionary.to_pylist()], np.int64)[kinds.indices.to_numpy()]
    engaged = engaging_rows(rows, spec.objectives.engaged)
    follows = engaged & next_steps(_pairs(rows), steps, rows["timestamp"].to_numpy())
    share = follows.sum() / max(1, engaged.sum())
    if share < MUCH:
        return
    own = {kind: steps == STEPS[kind] for kind in spec.objectives.engaged.events}
    counts = [(kind, follows[mine].sum(), engaged[mine].sum()) for kind, mine in own.items()]
    told = " and ".join(f"{some:,} of {every:,} {kind}s" for kind, some, every in counts if some)
    first = list(STEPS)[steps.min()]
    yield (
        f"engaged: in the validation and test windows {told} come within half an hour after another act of the same "
        f"user with the same item: of {share:.0%} of what is asked for the last item is the answer, and the figures "
        f"will say little of what is recommended. Let engaged be the first step alone ({first}), with what is to come "
        "of it as `followed_by` of satisfied, or let `repeat` keep out what was taken (docs/data.md)"
    )


def _pairs(rows: pa.Table) -> np.ndarray:
    """`[rows]` int64, one for each user and item."""
    users, items = (
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("user_id", "item_id")
    )
    return np.asarray(users * (items.max(initial=0) + 1) + items)
