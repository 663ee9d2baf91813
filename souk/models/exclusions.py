"""What is kept out of a user's slate at a moment of the past, for what the models learn and are judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.models.draw import Moment
from souk.models.marked import Marked
from souk.ordered import in_order
from souk.owners import owned
from souk.spec import FeatureSpec
from souk.state import kept_events
from souk.withheld import excluded_since, paused_since


def exclusions(
    features: Path, examples: pa.Table, spec: FeatureSpec, position: Mapping[str, int]
) -> Callable[[Moment], np.ndarray]:
    """A function that gives what is no candidate at a moment of `examples`: positions, some more than once.

    It is `souk.withheld.withheld` and `tired`, and what is the user's own. What keeps items out is told by
    `acts.parquet`; without it each engagement does, and is an example. A moment costs a slice of its user's: of the
    items where none repeats, else of the acts of the last days, those of the pause, and hides and showings.
    """
    asking = pc.field("user_id").isin(pc.unique(examples["user_id"]))
    names = ["user_id", "timestamp", "item_id"]
    rules = []
    acts = pq.read_table(features / "acts.parquet", filters=asking) if spec.keeps_acts else None
    if spec.repeat.rule != "always":
        keeping = (
            acts.filter(acts["keeps_out"])
            if acts is not None
            else pq.read_table(features / "examples.parquet", columns=names, filters=asking)
        )
        kept = _Runs(keeping, position, first=spec.repeat.rule == "never")
        rules.append(lambda moment: kept.between(moment, excluded_since(moment.time, spec)))
    if acts is not None and spec.repeat.pause_minutes:
        every = _Runs(acts, position)
        rules.append(lambda moment: every.between(moment, paused_since(moment.time, spec))[-kept_events(spec) :])
    if (features / "marks.parquet").exists():
        rules.append(Marked(features, acts, asking, spec, position))
    nothing = np.zeros(0, np.int64)
    if spec.repeat.own:
        own = owned(features, spec)
        rules.append(lambda moment: own.get(moment.user, nothing))
    return lambda moment: np.concatenate([nothing, *(rule(moment) for rule in rules)])


class _Runs:
    """Items by user and time.

    Args:
        rows: `user_id`, `timestamp` and `item_id`, those of one time in order.
        position: of each item.
        first: whether only the first time of each item counts.
    """

    def __init__(self, rows: pa.Table, position: Mapping[str, int], first: bool = False) -> None:
        rows = in_order(rows, ["user_id", "timestamp"])
        times = rows["timestamp"].to_numpy()
        named = rows["item_id"].dictionary_encode().combine_chunks()  # of millions of acts no text is made
        places = np.array([position[item] for item in named.dictionary.to_pylist()], np.int64)
        items = places[named.indices.to_numpy()]
        runs = rows["user_id"].dictionary_encode().combine_chunks()
        users = runs.indices.to_numpy().astype(np.int64)
        if first:
            told = np.sort(np.unique(users * len(position) + items, return_index=True)[1])
            times, items, users = times[told], items[told], users[told]
        bounds = np.searchsorted(users, np.arange(len(runs.dictionary) + 1))
        self._times, self._items = times, items
        self._rows = dict(zip(runs.dictionary.to_pylist(), pairwise(bounds.tolist()), strict=True))

    def between(self, moment: Moment, since: int | None) -> np.ndarray:
        """The items of the moment's user after `since` and before the moment; None for all before it."""
        own = slice(*self._rows.get(moment.user, (0, 0)))
        times = self._times[own]
        start = 0 if since is None else np.searchsorted(times, since, side="right")
        return np.asarray(self._items[own][start : np.searchsorted(times, moment.time)])
