"""Which item follows which: sums of votes over shards of users, and the rules that they make."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from souk.sources.rows import SparseRows

DISTANCE = 20  # steps between two events of a pair, at most: bounds the work of a user with many
BACK = 0.2  # weight of a pair against the order of time; events of one time have no order
SUPPORT = 20.0  # a rule is weakened as if its item had so many more events
FOLLOWERS = 200  # of an item, and so many in all:
ENTRIES = 100_000_000  # eight bytes each


def pair_sums(
    users: np.ndarray,
    items: np.ndarray,
    times: np.ndarray,
    votes: np.ndarray,
    ends: np.ndarray,
    size: int,
    half: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The votes of events for those up to DISTANCE steps after them: 1 / steps, and BACK of that in return.

    Args:
        users: `[events]`; the events of a user stand together, in order.
        items: `[events]` int64.
        times: `[events]` int64.
        votes: `[events]` bool, those that may be voted for.
        ends: the boundaries; a pair counts from the first one after its later event.
        size: how many items there are.
        half: age at its boundary, in milliseconds, at which a vote counts half.

    Returns:
        keys, `(item · size + follower) · len(ends) + boundary`, ascending, and sums. An item's own row and column hold
        how many events it has.
    """
    window = np.searchsorted(ends, times, side="right")
    inside = window < len(ends)
    keys = [_key(items[inside], items[inside], window[inside], size, len(ends))]
    sums = [np.ones(len(keys[0]))]
    for steps in range(1, DISTANCE + 1):
        if steps >= len(users):
            break
        first, later = np.arange(len(users) - steps), np.arange(steps, len(users))
        pairs = (users[first] == users[later]) & (items[first] != items[later]) & inside[later]
        first, later = first[pairs], later[pairs]
        when = window[later]
        ahead = 0.5 ** ((ends[when] - times[later]) / half) / steps
        back = np.where(times[first] == times[later], 1.0, BACK) * ahead
        for source, target, weight in ((first, later, ahead), (later, first, back)):
            kept = votes[target]
            keys.append(_key(items[source[kept]], items[target[kept]], when[kept], size, len(ends)))
            sums.append(weight[kept])
        keys, sums = map(list, zip(collapsed(keys, sums), strict=True))
    return collapsed(keys, sums)


def _key(source: np.ndarray, target: np.ndarray, window: np.ndarray, size: int, windows: int) -> np.ndarray:
    return (source.astype(np.int64) * size + target) * windows + window


def collapsed(keys: list[np.ndarray], sums: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, ascending, and the sum of each."""
    found, where = np.unique(np.concatenate(keys), return_inverse=True)
    return found, np.bincount(where, np.concatenate(sums), minlength=len(found))


def rules(
    keys: np.ndarray, sums: np.ndarray, trend: np.ndarray, ends: np.ndarray, half: float, first: int, count: int
) -> Iterator[SparseRows]:
    """The rules of some items at each boundary: W[i, j] = votes of i for j / √(events of i + SUPPORT) · trend of j.

    Args:
        keys: of `pair_sums`, ascending.
        sums: likewise.
        trend: `[boundaries, items]` float32.
        ends: the boundaries.
        half: of a vote's age, milliseconds.
        first: the first item.
        count: how many items.
    """
    windows, size = trend.shape
    pair, window = np.divmod(keys, windows)
    source, target = np.divmod(pair, size)
    source = source - first
    itself = source + first == target
    for boundary in range(windows):
        known, votes = (window <= boundary) & itself, (window <= boundary) & ~itself
        events = np.bincount(source[known], sums[known], minlength=count)
        aged = sums[votes] * 0.5 ** ((ends[boundary] - ends[window[votes]]) / half)
        found, where = np.unique(pair[votes], return_inverse=True)
        total = np.bincount(where, aged, minlength=len(found))
        row, column = found // size - first, found % size
        weights = total / np.sqrt(events[row] + SUPPORT) * trend[boundary][column]
        yield SparseRows.strongest(row, column, weights, count, max(1, min(FOLLOWERS, ENTRIES // size)))
