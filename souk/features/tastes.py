"""How long users stay with values: with a brand, an author, a seller."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.features.windows import BOUNDARIES, Windows
from souk.progress import report
from souk.spec import FeatureSpec
from souk.value_shares import CONCENTRATION, UNKNOWN, ValueShares, begins, values_of

GRID = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000], np.float64)
EVENTS = 1_000_000  # of whole users, drawn, are looked at
FEWEST = 100  # events that tell of a feature; of fewer it is UNKNOWN
SEED = 7


def with_concentrations(
    counters: pa.Table, examples: pa.Table, items: pa.Table, spec: FeatureSpec, windows: Windows
) -> pa.Table:
    """The counters with a column more for each item feature whose values several items may have, alike for all items.

    Args:
        counters: of `souk.features.tables.counters`.
        examples: the engaging events, `user_id`, `item_id` and `timestamp`.
        items: the item feature table.
        spec: the feature specification.
        windows: the boundaries; events at or after one do not count in its rows.
    """
    names = [feature.name for feature in spec.shared]
    start, values, numbers = values_of(items, spec)
    where = pc.index_in(examples["item_id"], items["item_id"].combine_chunks()).to_numpy().astype(np.int64)
    users = examples["user_id"].dictionary_encode().combine_chunks().indices.to_numpy().astype(np.int64)
    times, found = examples["timestamp"].to_numpy().astype(np.int64), []
    for boundary in BOUNDARIES:
        inside = times < getattr(windows, boundary)
        shares = ValueShares.of(names, list(numbers), start, values, np.bincount(where[inside], minlength=len(items)))
        drawn = inside & np.isin(users, _some(users[inside]))
        found.append(concentrations(shares, start, values, users[drawn], where[drawn], times[drawn]))
    if names:
        told = ", ".join(f"{name} {number:g}" for name, number in zip(names, found[-1], strict=True))
        report(f"events after which a user's own taste counts as much as everyone's: {told}")
    for place, name in enumerate(names):
        column = np.repeat([each[place] for each in found], len(items))
        counters = counters.append_column(f"{CONCENTRATION}:{name}", pa.array(column))
    return counters


def concentrations(
    shares: ValueShares, start: np.ndarray, values: np.ndarray, users: np.ndarray, items: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """The concentration of the Dirichlet prior of each feature, `[features]`: that of GRID under which what users took
    anew is likeliest, given what they took before it (a Polya distribution; Minka 2000, "Estimating a Dirichlet
    distribution", section 3, by a grid and not by a fixed point).

    What a user takes again says how often things are taken again, and not how users stay with a value; so only the
    first event with an item is foretold. Events of one time foretell none of each other.

    Args:
        shares: of everyone.
        start: `[items + 1]` int64, where each item's values start in
        values: int64.
        users: `[events]` int64.
        items: `[events]` int64, positions.
        times: `[events]` int64.
    """
    order = np.lexsort((times, users))
    users, items, times = users[order], items[order], times[order]
    new = np.zeros(len(items), bool)
    new[np.unique(users * len(start) + items, return_index=True)[1]] = True
    lengths = start[items + 1] - start[items]
    event = np.repeat(np.arange(len(items)), lengths)
    value = values[np.repeat(start[items] - np.cumsum(lengths) + lengths, lengths) + np.arange(len(event))]
    before = _earlier(users[event] * max(1, len(shares.columns)) + value, times[event])
    chosen = np.full(len(shares.names), UNKNOWN)
    for feature in range(len(chosen)):
        rows = shares.columns[value] == feature
        saying = event[rows][begins(event[rows])]
        whole = np.zeros(len(items), np.int64)
        whole[saying] = _earlier(users[saying], times[saying])
        rows &= new[event] & (whole[event] > 0)
        if begins(event[rows]).sum() >= FEWEST:
            count, all_of, usual = before[rows], whole[event[rows]], shares.shares[value[rows]]
            likely = [np.log((count + a * usual) / (all_of + a)).sum() for a in GRID]
            chosen[feature] = GRID[int(np.argmax(likely))]
    return chosen


def _some(users: np.ndarray) -> np.ndarray:
    """Users with at most EVENTS together, drawn; none who has more alone, as the account of a till."""
    each, counts = np.unique(users, return_counts=True)
    each, counts = each[counts <= EVENTS], counts[counts <= EVENTS]
    order = np.random.default_rng(SEED).permutation(len(each))
    return each[order[np.cumsum(counts[order]) <= EVENTS]]


def _earlier(keys: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Of each row, how many rows of the same key have an earlier time."""
    order = np.lexsort((times, keys))
    key, time = keys[order], times[order]
    first = np.flatnonzero(begins(key))
    moment = np.flatnonzero(begins(key) | begins(time))
    found = np.empty(len(keys), np.int64)
    place = np.arange(len(key))
    found[order] = (
        moment[np.searchsorted(moment, place, side="right") - 1]
        - first[np.searchsorted(first, place, side="right") - 1]
    )
    return found
