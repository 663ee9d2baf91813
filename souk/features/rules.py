"""Which item follows which: sums of votes over shards of users, and the rules that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from souk.sources.rows import SparseRows

DISTANCE = 20  # steps between two events of a pair, at most: bounds the work of a user with many
BACK = 0.2  # weight of a pair against the order of time; events of one time have no order
VOTES = 3.0  # of one user for a pair between two boundaries, at most, and so many of its events with an item count
SUPPORT = 20.0  # a rule is weakened as if its item had so many more events
FOLLOWERS = 200  # of an item, and so many in all:
ENTRIES = 100_000_000  # eight bytes each
BLOCK = 4096  # items whose rules are made at once
PENDING = 4_000_000  # votes held before they are summed: a shard's fit, a user with millions of events is cut


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

    A user has at most VOTES for a pair, however often it repeats there.

    Args:
        users: `[events]` int64, from 0; the events of a user stand together, in order.
        items: `[events]` int64.
        times: `[events]` int64.
        votes: `[events]` bool, those that may be voted for.
        ends: the boundaries; a pair counts from the first one after its later event.
        size: how many items there are.
        half: age at its boundary, in milliseconds, at which a vote counts half.

    Returns:
        keys, `(item · size + follower) · len(ends) + boundary`, ascending, and sums. An item's own row and column hold
        how many events it has, at most VOTES of a user.
    """
    ids, local = np.unique(items, return_inverse=True)  # so that a user and a pair fit into one number
    span = len(ids) * len(ids) * len(ends)
    keys: list[np.ndarray] = []
    sums: list[np.ndarray] = []
    for own, key, weight in _votes(users, local, times, votes, ends, len(ids), half):
        keys.append(own * span + key)
        sums.append(weight)
        if sum(map(len, keys)) > PENDING:
            keys, sums = map(list, zip(collapsed(keys, sums), strict=True))
    own, total = collapsed(keys, sums)
    pairs, total = collapsed([own % max(1, span)], [np.minimum(total, VOTES)])
    pair, window = np.divmod(pairs, len(ends))
    source, target = np.divmod(pair, max(1, len(ids)))
    return _key(ids[source], ids[target], window, size, len(ends)), total


def _votes(
    users: np.ndarray,
    items: np.ndarray,
    times: np.ndarray,
    votes: np.ndarray,
    ends: np.ndarray,
    size: int,
    half: float,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Users, keys and weights of single votes: of each event for itself, then step by step."""
    window = np.searchsorted(ends, times, side="right")
    inside = window < len(ends)
    itself = _key(items[inside], items[inside], window[inside], size, len(ends))
    yield users[inside], itself, np.ones(len(itself))
    for steps in range(1, min(DISTANCE + 1, len(users))):
        first, later = np.arange(len(users) - steps), np.arange(steps, len(users))
        pairs = (users[first] == users[later]) & (items[first] != items[later]) & inside[later]
        first, later = first[pairs], later[pairs]
        when = window[later]
        ahead = 0.5 ** ((ends[when] - times[later]) / half) / steps
        back = np.where(times[first] == times[later], 1.0, BACK) * ahead
        for source, target, weight in ((first, later, ahead), (later, first, back)):
            kept = votes[target]
            key = _key(items[source[kept]], items[target[kept]], when[kept], size, len(ends))
            yield users[source[kept]], key, weight[kept]


def _key(source: np.ndarray, target: np.ndarray, window: np.ndarray, size: int, windows: int) -> np.ndarray:
    return (source.astype(np.int64) * size + target) * windows + window


def collapsed(keys: list[np.ndarray], sums: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, ascending, and the sum of each, added up in the order given."""
    every = np.concatenate(keys)
    order = np.argsort(every, kind="stable")  # cheap for lists that are ascending in themselves
    every, starts = _runs(every[order])
    return every, np.add.reduceat(np.concatenate(sums)[order], starts) if len(starts) else np.zeros(0)


def _runs(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of an ascending array, and where each starts."""
    starts = np.flatnonzero(np.concatenate([ascending[:1] == ascending[:1], ascending[1:] != ascending[:-1]]))
    return ascending[starts], starts


def packed(keys: np.ndarray, sums: np.ndarray, size: int, windows: int) -> Iterator[tuple[int, bytes]]:
    """What `pair_sums` gives as (block of items, ten bytes a pair): `unpacked` reads the parts of a block."""
    for block, (start, end) in enumerate(pairwise(range(0, size + BLOCK, BLOCK))):
        part = slice(*np.searchsorted(keys, [start * size * windows, end * size * windows]))
        if part.start < part.stop:
            pair, window = np.divmod(keys[part], windows)
            source, target = np.divmod(pair, size)
            place = ((source - start) * windows + window).astype(np.uint16)
            yield block, place.tobytes() + target.astype(np.uint32).tobytes() + sums[part].astype(np.float32).tobytes()


def unpacked(block: int, parts: Iterable[bytes], size: int, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys, ascending, and sums of all the parts of a block."""
    keys, sums = [], []
    for part in parts:
        count = len(part) // 10
        place = np.frombuffer(part, np.uint16, count).astype(np.int64)
        target = np.frombuffer(part, np.uint32, count, 2 * count)
        keys.append(_key(block * BLOCK + place // windows, target, place % windows, size, windows))
        sums.append(np.frombuffer(part, np.float32, count, 6 * count).astype(np.float64))
    return collapsed(keys, sums)


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
        found, starts = _runs(pair[votes])
        total = np.add.reduceat(aged, starts) if len(starts) else aged
        row, column = found // size - first, found % size
        weights = total / np.sqrt(events[row] + SUPPORT) * trend[boundary][column]
        yield SparseRows.strongest(row, column, weights, count, max(1, min(FOLLOWERS, ENTRIES // size)))
