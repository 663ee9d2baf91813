"""How often each item is taken where it is shown: what the log's slates tell of it, however often it was shown.

Counts of what was taken go with what was shown. Over what the places of its showings promise, they do not: clicks over
expected clicks (Zhang and Jones 2007, "Comparing click logs and editorial labels for training query rewriting").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.labels import engaging_rows
from souk.features.windows import BOUNDARIES, Windows
from souk.ordered import in_order
from souk.schema import EventType
from souk.spec import FeatureSpec

COLUMNS = ("event_type", "item_id", "timestamp", "request_id", "position", "value", "dwell_seconds")
PLACES = 64  # that have a rate of their own; those behind share the last
PRIOR = 3.0  # as if so many more were expected and taken of each item
NEARLY_ALL = 0.95  # of what was shown: where so much is taken, the log leaves out what was left
FEWEST = 100  # taken where they were shown: of fewer nothing is said
ROWS = 1 << 20  # at a time
KEPT = 0.5  # share of what was taken at a place that has an impression, above which the rest lost theirs
NEVER = np.iinfo(np.int64).max


def is_told(events: Path, spec: FeatureSpec, before: int) -> bool:
    """Whether enough was shown at a place, and some of it taken and some left.

    Args:
        events: `events.parquet`.
        spec: says which events engage.
        before: UTC epoch milliseconds; later events do not count.
    """
    if not {"request_id", "position"} <= set(pq.read_schema(events).names):
        return False
    shown, taken = (counts.sum() for counts in _Showings(events, spec).by_place([before]))
    return bool(taken >= FEWEST and taken < NEARLY_ALL * shown)


def with_responses(
    counters: pa.Table, events: Path, ids: Sequence[str], spec: FeatureSpec, windows: Windows
) -> pa.Table:
    """The counters with a column more, `response`, where the spec says that showings are known.

    Args:
        counters: of `souk.features.tables.counters`.
        events: `events.parquet`; those at or after a boundary do not count in its rows.
        ids: of the items, in order.
        spec: the feature specification.
        windows: the boundaries.

    Returns:
        `response` is the logarithm of how often an item was taken where it was shown, over what its places promise,
        both with PRIOR: 0 for one that was never shown.
    """
    if not spec.shown:
        return counters
    ends = [getattr(windows, boundary) for boundary in BOUNDARIES]
    taken, expected = _Showings(events, spec).by_item(ends, ids)
    response = np.log((taken + PRIOR) / (expected + PRIOR)).astype(np.float32)
    return counters.append_column("response", pa.array(response.reshape(-1)))


class _Showings:
    """What a log says was shown: its impressions, and what was taken at a place, where most of that has none: a log
    with a row for each item shown, that says what was clicked, has no other row for it. Elsewhere impressions were not
    kept, and what was taken alone would make its place and its item look better than they are.

    Args:
        events: `events.parquet`, with requests and positions.
        spec: says which events engage.
    """

    def __init__(self, events: Path, spec: FeatureSpec) -> None:
        self._events = events
        engaging = [str(kind) for kind in spec.objectives.engaged.events]
        rows = self._rows(engaging, placed=False)
        found = [some.filter(pa.array(engaging_rows(some, spec.objectives.engaged))) for some in rows]
        taken = in_order(pa.concat_tables(found), ["timestamp"])
        keys = _keys(taken)
        first = np.zeros(len(taken), bool)
        first[np.unique(keys.dictionary_encode().indices.to_numpy(), return_index=True)[1]] = True
        self._taken, self._keys = taken.filter(pa.array(first)), keys.filter(pa.array(first))  # once in a request

    def by_place(self, ends: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """How many showings there were before each of `ends`, and how many were taken, `[ends, PLACES]` each."""
        shown, taken = np.zeros((2, len(ends), PLACES))
        for places, times, taken_at, until, _ in self._batches(ends[0]):
            for row, end in enumerate(ends):
                shown[row] += np.bincount(places[(times < end) & (end <= until)], minlength=PLACES)
                taken[row] += np.bincount(places[(taken_at < end) & (end <= until)], minlength=PLACES)
        return shown, taken

    def by_item(self, ends: Sequence[int], ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """How often each item was taken where it was shown before each of `ends`, and how often the places of its
        showings promise, `[ends, items]` each."""
        shown, hits = self.by_place(ends)
        rates = hits / np.maximum(shown, 1)
        taken, expected = np.zeros((2, len(ends), len(ids)))
        every = pa.array(ids, pa.string())
        for places, times, taken_at, until, items in self._batches(ends[0]):
            row_of = pc.fill_null(pc.index_in(items, every), -1).to_numpy(zero_copy_only=False)
            known = row_of >= 0
            for row, end in enumerate(ends):
                counts = known & (end <= until)
                inside, hit = counts & (times < end), counts & (taken_at < end)
                expected[row] += np.bincount(row_of[inside], rates[row][places[inside]], minlength=len(ids))
                taken[row] += np.bincount(row_of[hit], minlength=len(ids))
        return taken, expected

    def _batches(self, first: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, pa.ChunkedArray]]:
        """Some showings at a time: places from 0, when each was shown, when it was taken (never: the last time that
        there is), until which boundary it counts (where an impression comes after what was taken, the log of before
        knows the place of this alone), and the items. What was before `first` says whether what is alone was shown."""
        times = self._taken["timestamp"].to_numpy()
        told_at = np.full(len(times), NEVER)
        for rows in self._rows([str(EventType.IMPRESSION)]):
            shown_at = rows["timestamp"].to_numpy()
            found = pc.index_in(_keys(rows), self._keys)
            hit = pc.is_valid(found).to_numpy(zero_copy_only=False)
            own = found.filter(pa.array(hit)).to_numpy()
            np.minimum.at(told_at, own, shown_at[hit])
            taken_at, always = np.full((2, len(rows)), NEVER)
            taken_at[hit] = np.maximum(times[own], shown_at[hit])
            yield _places(rows), shown_at, taken_at, always, rows["item_id"]
        placed = pc.is_valid(self._taken["position"]).to_numpy()
        early = placed & (times < first)
        if early.any() and (told_at[early] < first).mean() > KEPT:
            return
        apart = (told_at > times) & placed
        rest, at, until = self._taken.filter(pa.array(apart)), times[apart], told_at[apart]
        yield _places(rest), at, at, until, rest["item_id"]

    def _rows(self, kinds: Sequence[str], placed: bool = True) -> Iterator[pa.Table]:
        """The events of some types that belong to a request and, if it is asked for, have a place."""
        source = pq.ParquetFile(self._events)
        names = [name for name in COLUMNS if name in source.schema_arrow.names]
        for batch in source.iter_batches(ROWS, columns=names):
            rows = pa.Table.from_batches([batch])
            wanted = pc.and_(pc.is_valid(rows["request_id"]), pc.is_in(rows["event_type"], pa.array(kinds)))
            yield rows.filter(pc.and_(wanted, pc.is_valid(rows["position"])) if placed else wanted)


def _keys(rows: pa.Table) -> pa.Array:
    """What was shown: an item in a request."""
    pair = (rows[name].cast(pa.large_string()) for name in ("request_id", "item_id"))
    return pc.binary_join_element_wise(*pair, pa.scalar("\x1f", pa.large_string())).combine_chunks()


def _places(rows: pa.Table) -> np.ndarray:
    return np.clip(rows["position"].to_numpy().astype(np.int64), 0, PLACES - 1)
