"""How fast the taste of a market moves, and what moves with it: half-life, trends and popularity by segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.windows import BOUNDARIES, Windows
from souk.items import available_at, item_columns
from souk.schema import DAY_MS
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows, summed, weights_of
from souk.spec import Entity, FeatureSpec, Role
from souk.state_rows import PROFILE

HALVINGS = 9  # half-lives tried: the span of the data, half of it, and so on; and none
LATEST = 0.1  # share of the training events that a half-life is judged by
BLEND = 0.05  # share of all-time popularity in a judged forecast, so that nothing is impossible
TREND_PRIOR = 10.0  # a trend is drawn to 1 as if the item had so many more events
SEGMENT_PRIOR = 200.0  # a segment's popularity is drawn to everyone's as if it had so many more events
SEGMENT_EVENTS = 200  # fewer say too little of a segment
SEGMENT_COUNT = 64  # per feature, the largest
POPULAR = 500  # items of a segment: a request is given a tenth of its candidates from them, all where towers fail
Coded = tuple[np.ndarray, Sequence[str]]  # `[events]` integers, and the word of each


def half_life(items: np.ndarray, times: np.ndarray, size: int) -> float:
    """The half-life under which decayed popularity best foretells the latest events, by likelihood.

    Args:
        items: `[events]`, what was engaged with.
        times: `[events]` int64, UTC epoch milliseconds.
        size: how many items there are.

    Returns:
        milliseconds; infinite where nothing beats popularity of all time.
    """
    if len(times) < 2:
        return float("inf")
    cut = np.quantile(times, 1 - LATEST, method="nearest")
    known, span = times < cut, float(times.max() - times.min())
    if not known.any() or not span:
        return float("inf")
    overall = np.bincount(items[known], minlength=size) + 1.0
    best, found = -np.inf, float("inf")
    for trial in [float("inf"), *(span / 2**k for k in range(HALVINGS))]:
        counts = np.bincount(items[known], _decayed(times[known], cut, trial), minlength=size)
        forecast = (1 - BLEND) * counts / max(counts.sum(), 1e-300) + BLEND * overall / overall.sum()
        likelihood = np.log(forecast[items[~known]]).mean()
        if likelihood > best:
            best, found = likelihood, trial
    return found


def in_words(half: float) -> str:
    """A half-life of milliseconds, for people."""
    return f"{half / DAY_MS:,.1f} days" if np.isfinite(half) else "none, nothing fades"


def trends(items: np.ndarray, times: np.ndarray, size: int, boundary: int, half: float) -> np.ndarray:
    """Each item's share of the recent events over its share of all before `boundary`; `[items]` float32, 1 for steady.

    Args:
        items: `[events]`.
        times: `[events]` int64; events at or after the boundary are not looked at.
        size: how many items there are.
        boundary: UTC epoch milliseconds.
        half: half-life, milliseconds.
    """
    before = times < boundary
    weights = _decayed(times[before], boundary, half)
    recent, overall = (np.bincount(items[before], w, minlength=size) for w in (weights, None))
    level = weights.sum() / max(1, len(weights))
    if not level:
        return np.ones(size, np.float32)
    return ((recent + TREND_PRIOR * level) / (level * (overall + TREND_PRIOR))).astype(np.float32)


def _decayed(times: np.ndarray, now: int, half: float) -> np.ndarray:
    return np.asarray(0.5 ** ((now - times) / half))


def write_popular(folder: Path, spec: FeatureSpec, windows: Windows, half: float) -> None:
    """Writes `segment_popular/<boundary>.npz` from the examples and users of a features folder.

    Args:
        folder: with `examples.parquet`, `user_state.parquet` and `items.parquet`.
        spec: its specification.
        windows: the boundaries; events at or after one do not count in its file.
        half: half-life, milliseconds.
    """
    table = item_columns(folder, "item_id", "available", "available_until")
    position = {item: place for place, item in enumerate(table["item_id"].to_pylist())}
    events = pq.read_table(folder / "examples.parquet", columns=["user_id", "item_id", "timestamp"])
    encoded = events["item_id"].combine_chunks().dictionary_encode()
    names = np.array([position[item] for item in encoded.dictionary.to_pylist()], np.int64)
    items, times = names[encoded.indices.to_numpy()], events["timestamp"].to_numpy()
    values = _values(folder, spec, events["user_id"])
    (folder / "segment_popular").mkdir(exist_ok=True)
    for boundary in BOUNDARIES:
        end: int = getattr(windows, boundary)
        kept = (times < end) & available_at(table, end, windows.end)[items]
        weights = _decayed(times[kept], end, half)
        columns = {name: (codes[kept], words) for name, (codes, words) in values.items()}
        segments(items[kept], weights, columns, len(position)).save(folder / "segment_popular" / f"{boundary}.npz")


def _values(folder: Path, spec: FeatureSpec, users: Any) -> dict[str, Coded]:
    """Of each event the user's value, by categorical user feature."""
    declared = [feature for feature in spec.of(Entity.USER) if feature.role is Role.CATEGORY]
    if not declared:
        return {}
    columns = ["user_id", *(PROFILE + feature.source for feature in declared)]
    profiles = pq.read_table(folder / "user_state.parquet", columns=columns)
    row = {user: place for place, user in enumerate(profiles["user_id"].to_pylist())}
    encoded = users.combine_chunks().dictionary_encode()
    rows = np.array([row[user] for user in encoded.dictionary.to_pylist()], np.int64)[encoded.indices.to_numpy()]
    found = {}
    for feature in declared:
        column = pc.fill_null(profiles[PROFILE + feature.source], "").combine_chunks().dictionary_encode()
        found[feature.name] = column.indices.to_numpy()[rows], column.dictionary.to_pylist()
    return found


def segments(items: np.ndarray, weights: np.ndarray, values: Mapping[str, Coded], size: int) -> Segments:
    """Popularity by segment: decayed shares, those of small segments drawn to everyone's.

    What a segment's own events do not name stands in the order of everyone, so that no more of it than the POPULAR
    first can be among the segment's: a segment costs its events and those, not the catalogue.

    Args:
        items: `[events]`.
        weights: `[events]`, 1 for an event of now.
        values: by user feature the codes `[events]` and their words, "" where it is not known.
        size: how many items there are.
    """
    everyone = np.bincount(items, weights, minlength=size)
    share = everyone / max(everyone.sum(), 1e-300)
    names, parts = [""], [_popular(np.flatnonzero(share), share[np.flatnonzero(share)])]
    prior = SEGMENT_PRIOR * weights.sum() / max(1, len(weights))  # times how much an event weighs
    for feature, (codes, words) in values.items():
        for word, inside in _largest(codes, words):
            own, totals = summed(items[inside], weights[inside], size)
            found = np.union1d(own, parts[0].items)
            counts = weights_of(own, totals, found).astype(np.float64)
            names.append(f"{feature}={word}")
            parts.append(_popular(found, (counts + prior * share[found]) / (counts.sum() + prior)))
    return Segments({name: row for row, name in enumerate(names)}, SparseRows.joined(parts))


def _largest(codes: np.ndarray, words: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The words with events enough, at most SEGMENT_COUNT, the largest first, and the rows of each."""
    counts = np.bincount(codes, minlength=len(words))
    large = [code for code in np.flatnonzero(counts >= SEGMENT_EVENTS).tolist() if words[code]]
    chosen = sorted(large, key=lambda code: (-counts[code], words[code]))[:SEGMENT_COUNT]
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    for code in chosen:
        yield words[code], order[starts[code] : starts[code + 1]]


def _popular(items: np.ndarray, shares: np.ndarray) -> SparseRows:
    return SparseRows.strongest(np.zeros(len(items), np.int64), items, shares, 1, POPULAR)
