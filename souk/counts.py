"""How often items were engaged with before the time that is asked: ever, and lately."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.schema import DAY_MS, FOREVER


@dataclass(frozen=True)
class Later:
    """The engagements after a boundary, in the order of items and of their times.

    Args:
        items: `[n]` int64, positions; one at least.
        times: `[n]` int64, UTC epoch milliseconds.
        events: `[n]` float64, of the same item up to this one, those of before the boundary too.
        weights: `[n]` float64, likewise; see `ItemCounts`.
    """

    items: np.ndarray
    times: np.ndarray
    events: np.ndarray
    weights: np.ndarray

    def before(self, positions: np.ndarray, times: np.ndarray) -> np.ndarray:
        """`[M]` int64: the last engagement with each item strictly before each time; -1 where there is none."""
        first, span, keys = self._keys
        wanted = positions.astype(np.int64) * span + np.clip(times.astype(np.int64) - first, 0, span - 1)
        place = np.searchsorted(keys, wanted) - 1
        return np.where((place >= 0) & (self.items[place] == positions), place, -1)

    @cached_property
    def _keys(self) -> tuple[int, int, np.ndarray]:
        """The first time, more than lies between it and the last, and one number for each item and time, ascending."""
        first = int(self.times.min())
        span = int(self.times.max()) - first + 2
        return first, span, self.items * span + (self.times - first)


class ItemCounts:
    """The engagements of each item up to a boundary, and what came since: exactly (`followed`), or as it comes (`add`).

    What is taken lately fades: an engagement counts half after each half-life. Sums of them are kept as the logarithm
    of what they will have been worth at the boundary: so they can be added in any order, and no release is too old.

    Args:
        events: `[items]` float64, engagements before `since`.
        weights: `[items]` float64, log2 of the sum over the same of 2^((time - since) / half); -inf without any.
        since: the boundary, UTC epoch milliseconds; what is older is counted. FOREVER where nothing can be added.
        half: half-life, milliseconds; inf where nothing fades.
        later: what came since, where every time may be asked.
    """

    def __init__(
        self, events: np.ndarray, weights: np.ndarray, since: int, half: float, later: Later | None = None
    ) -> None:
        self.events, self.weights, self.since, self.half, self.later = events, weights, since, half, later
        self._newest = float(since)  # time of what was added
        self._lock = threading.Lock()

    @classmethod
    def of(cls, counters: pa.Table) -> ItemCounts:
        """Those of one boundary's counters; of a release of before, which stay what they were at its boundary."""
        events = counters["events"].to_numpy().astype(np.float64)
        rolls = "lately" in counters.column_names
        lately = counters["lately" if rolls else "events_30d"].to_numpy().astype(np.float64)
        with np.errstate(divide="ignore"):
            weights = np.log2(lately)
        if not rolls or not len(counters):
            return cls(events, weights, FOREVER, np.inf)
        return cls(events, weights, counters["until"][0].as_py(), counters["half_life_days"][0].as_py() * DAY_MS)

    def followed(self, items: np.ndarray, times: np.ndarray) -> ItemCounts:
        """With the engagements that came since, where every time can be asked.

        Args:
            items: `[events]` int64, positions; -1 for items that are not there.
            times: `[events]` int64, UTC epoch milliseconds; what is before `since` is counted already.
        """
        kept = (items >= 0) & (times >= self.since)
        if not kept.any():
            return self
        order = np.lexsort((times[kept], items[kept]))
        items, times = items[kept][order].astype(np.int64), times[kept][order].astype(np.int64)
        values, starts = np.unique(items, return_index=True)
        faded = (times - self.since) / self.half
        events, weights = np.empty(len(items)), np.empty(len(items))
        for item, start, end in zip(values, starts, [*starts[1:], len(items)], strict=True):
            events[start:end] = self.events[item] + np.arange(1, end - start + 1)
            sums = np.logaddexp2.accumulate(np.concatenate([self.weights[item : item + 1], faded[start:end]]))
            weights[start:end] = sums[1:]
        return ItemCounts(self.events, self.weights, self.since, self.half, Later(items, times, events, weights))

    def at(self, positions: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How often items were engaged with before given times: ever, and lately; `[M]` float64 each.

        What was added counts at any time that is asked, and as much as at that of the newest: a server knows no more
        than now.

        Args:
            positions: `[M]` int64.
            times: `[M]`, UTC epoch milliseconds, not before the boundary.
        """
        events, weights = self.events[positions], self.weights[positions]
        if self.later is not None:
            place = self.later.before(positions, times)
            events = np.where(place >= 0, self.later.events[place], events)
            weights = np.where(place >= 0, self.later.weights[place], weights)
        faded = np.maximum(np.asarray(times, np.float64), self._newest)
        faded = np.maximum(faded - self.since, 0.0) / self.half
        return events, np.exp2(weights - faded)

    def add(self, items: np.ndarray, times: np.ndarray) -> None:
        """Takes engagements that came since, in any order; what is before the boundary is counted already.

        Args:
            items: `[events]` int64, positions.
            times: `[events]` int64, UTC epoch milliseconds.
        """
        kept = times >= self.since
        with self._lock:
            np.add.at(self.events, items[kept], 1.0)
            np.logaddexp2.at(self.weights, items[kept], (times[kept] - self.since) / self.half)
            self._newest = max(self._newest, float(times[kept].max(initial=self.since)))

    def take(self, other: ItemCounts, own: np.ndarray, theirs: np.ndarray) -> None:
        """Has of some items what another of the same boundary has of them.

        Args:
            other: nothing is added to it meanwhile.
            own: `[n]` int64, positions here.
            theirs: `[n]` int64, positions there.
        """
        with self._lock:
            self.events[own], self.weights[own] = other.events[theirs], other.weights[theirs]
            self._newest = other._newest

    def grown(self, size: int) -> ItemCounts:
        """Itself, with room for more items, which nobody took yet."""
        with self._lock:
            more = size - len(self.events)
            if more > 0:
                self.events = np.concatenate([self.events, np.zeros(more)])
                self.weights = np.concatenate([self.weights, np.full(more, -np.inf)])
        return self


def lately(items: np.ndarray, times: np.ndarray, size: int, until: int, half: float) -> np.ndarray:
    """The faded engagements of each item before a boundary, `[items]` float64.

    Args:
        items: `[events]`, positions.
        times: `[events]` int64, UTC epoch milliseconds; what is at or after the boundary does not count.
        size: how many items there are.
        until: the boundary.
        half: half-life, milliseconds.
    """
    before = times < until
    return np.bincount(items[before], np.exp2((times[before] - until) / half), minlength=size)


def engagements(folder: Path, since: int, position: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The engaging events of a features folder from a time on: positions, -1 for items without one, and times."""
    table = pq.read_table(
        folder / "examples.parquet", columns=["item_id", "timestamp"], filters=pc.field("timestamp") >= since
    )
    coded = table["item_id"].dictionary_encode().combine_chunks()
    places = np.array([position.get(item, -1) for item in coded.dictionary.to_pylist()], np.int64)
    return places[coded.indices.to_numpy()], table["timestamp"].to_numpy()
