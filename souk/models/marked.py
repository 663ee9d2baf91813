"""What users hid and were shown too often at a moment of the past: from a state with these marks, as a server's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.models.draw import Moment
from souk.ordered import in_order
from souk.schema import EventType
from souk.spec import FeatureSpec
from souk.state import Event, UserState, kept_events
from souk.withheld import fatigued_since, hidden, marked, tired


class Marked:
    """`souk.withheld.hidden` and `tired` at a moment, as positions.

    Args:
        features: the features folder, with `marks.parquet`.
        acts: the rows of `acts.parquet`, where fatigue asks for them.
        asking: which users.
        spec: the feature specification.
        position: of each item.
    """

    def __init__(
        self,
        features: Path,
        acts: pa.Table | None,
        asking: pc.Expression,
        spec: FeatureSpec,
        position: Mapping[str, int],
    ) -> None:
        self._spec, self._position = spec, position
        marks = pq.read_table(features / "marks.parquet", filters=asking)
        kinds = (EventType.HIDE, EventType.IMPRESSION)
        self._hides, self._shown = (_Events(marks.filter(pc.equal(marks["event_type"], str(kind)))) for kind in kinds)
        self._acts = _Events(acts) if acts is not None and spec.repeat.fatigue else None

    def __call__(self, moment: Moment) -> np.ndarray:
        """Positions."""
        since = fatigued_since(moment.time, self._spec)
        hides, shown = self._hides.before(moment), self._shown.before(moment, since)
        if not hides and not shown:
            return np.zeros(0, np.int64)
        acts = self._acts.before(moment, since)[-kept_events(self._spec) :] if self._acts and shown else ()
        state = UserState(moment.user, events=tuple(acts))
        state = marked(state, hides, shown, moment.items, moment.time, self._spec)
        out = hidden(state).union(tired(state, moment.time, self._spec))
        return np.array([self._position[item] for item in sorted(out) if item in self._position], np.int64)


class _Events:
    """Events by user and time; of those of `acts.parquet` no type is told."""

    def __init__(self, rows: pa.Table) -> None:
        rows = in_order(rows, ["user_id", "timestamp"])
        nothing = pa.nulls(len(rows))
        self._times = rows["timestamp"].to_numpy()
        self._items = rows["item_id"]
        names = rows.column_names
        self._kinds = rows["event_type"] if "event_type" in names else nothing.cast(pa.string())
        self._values = (rows["value"] if "value" in names else nothing.cast(pa.float64())).to_numpy(
            zero_copy_only=False
        )
        runs = rows["user_id"].dictionary_encode().combine_chunks()
        bounds = np.searchsorted(runs.indices.to_numpy(), np.arange(len(runs.dictionary) + 1))
        self._rows = dict(zip(runs.dictionary.to_pylist(), pairwise(bounds.tolist()), strict=True))

    def before(self, moment: Moment, since: int | None = None) -> list[Event]:
        """Those of the moment's user after `since` and before the moment, oldest first; None for all before it."""
        start, end = self._rows.get(moment.user, (0, 0))
        times = self._times[start:end]
        first = 0 if since is None else int(np.searchsorted(times, since, side="right"))
        own = slice(start + first, start + int(np.searchsorted(times, moment.time)))
        columns = self._items[own].to_pylist(), self._kinds[own].to_pylist(), self._times[own].tolist()
        return [Event(*each) for each in zip(*columns, self._values[own].tolist(), strict=True)]
