"""What is taken by those who take the same: item-to-item weights of a linear model with a closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.examples import coded
from souk.features.rules import FOLLOWERS
from souk.features.trends import decayed
from souk.features.windows import BOUNDARIES, Windows
from souk.sources.rows import SparseRows, ranges

EASE = "ease"  # the folder of the artifact
MOST = 10_000  # items that were taken: the inverse of a larger matrix takes minutes, and gigabytes
RIDGE = 100.0
DIGITS = 4  # of a weight
FADED = 10.0  # half-lives: an item that nobody took for so long (a square below 1e-6) has no weight of DIGITS
LONGEST = 1_000  # the last items of a user that count: bounds the work of a user with many
TOGETHER = 1_000  # users whose items are multiplied at once
PAIR = 10  # products of dense rows that cost as much as a pair alone
BLOCK = 256  # rows whose strongest weights are looked for at once


def write_ease(folder: Path, windows: Windows, half: float) -> str:
    """Writes `ease/<boundary>.npz` from the examples, items and users of a features folder.

    Where more than MOST items count at one boundary, no boundary has weights: what a ranker learns at one it is asked
    at another.

    Args:
        folder: the features folder.
        windows: the boundaries.
        half: half-life of what is popular, milliseconds.

    Returns:
        How many items have weights at the last boundary, in words.
    """
    users, items, times = _engagements(folder)
    size = pq.read_metadata(folder / "items.parquet").num_rows
    ends = [getattr(windows, name) for name in BOUNDARIES]
    taken = max(len(np.unique(items[_count(times, end, half)])) for end in ends)
    (folder / EASE).mkdir()
    for name, end in zip(BOUNDARIES, ends, strict=True):
        rows = ease(users, items, times, size, end, half) if taken <= MOST else SparseRows.empty(size)
        rows.save(folder / EASE / f"{name}.npz")
    if taken > MOST:
        return f"what is taken together is not learned: {taken:,} items are taken, and {MOST:,} are the most"
    return f"what is taken together: {np.count_nonzero(np.diff(rows.indptr)):,} items"


def ease(users: np.ndarray, items: np.ndarray, times: np.ndarray, size: int, boundary: int, half: float) -> SparseRows:
    """EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", equation 8): B = I - P diag(1 / diag P)
    with P = (X'X + RIDGE I)^-1, the strongest weights above 0 of each item; of equal ones those of the first items.

    An entry of X, of a user and an item, is 1 for an engagement at the boundary and half as much for each half-life
    before, of the last one; so what goes with what is that of the season.

    Args:
        users: `[events]` int64, from 0.
        items: `[events]` int64, positions.
        times: `[events]` int64, UTC epoch milliseconds; events at or after the boundary are not looked at.
        size: how many items there are.
        boundary: UTC epoch milliseconds.
        half: half-life, milliseconds; inf where nothing fades.
    """
    count = _count(times, boundary, half)
    users, items, times = _last(users[count], items[count], times[count])
    taken, place = np.unique(items, return_inverse=True)
    if not len(taken):
        return SparseRows.empty(size)
    weights = _weights(_gram(users, place, decayed(times, boundary, half).astype(np.float32), len(taken)))
    blocks = []
    for start in range(0, len(taken), BLOCK):
        block = weights[start : start + BLOCK].round(DIGITS)
        rows, columns = np.nonzero(block > 0)
        blocks.append(SparseRows.strongest(rows, columns, block[rows, columns], len(block), FOLLOWERS))
    found, lengths = SparseRows.joined(blocks), np.zeros(size, np.int64)
    lengths[taken] = np.diff(found.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return SparseRows(indptr, taken[found.items].astype(np.int32), found.weights)


def _count(times: np.ndarray, boundary: int, half: float) -> np.ndarray:
    """`[events] bool`: those before the boundary that have not faded."""
    found: np.ndarray = (times < boundary) & (boundary - times < FADED * half)
    return found


def _engagements(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and times of the examples."""
    found = []
    for name, file in (("user_id", "user_state.parquet"), ("item_id", "items.parquet")):
        column, known = coded(folder, name), pq.read_table(folder / file, columns=[name])[name].combine_chunks()
        places = pc.index_in(column.dictionary, value_set=known).to_numpy(zero_copy_only=False).astype(np.int64)
        found.append(places[column.indices.to_numpy()])
    times = pq.read_table(folder / "examples.parquet", columns=["timestamp"])["timestamp"].to_numpy()
    return found[0], found[1], times


def _last(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each user and item the last event, of each user those of the LONGEST last items; by user."""
    order = np.lexsort((times, items, users))
    users, items, times = users[order], items[order], times[order]
    last = np.append((users[1:] != users[:-1]) | (items[1:] != items[:-1]), True)[: len(users)]
    users, items, times = users[last], items[last], times[last]
    order = np.lexsort((items, -times, users))
    users, items, times = users[order], items[order], times[order]
    kept = np.arange(len(users)) - np.searchsorted(users, users) < LONGEST
    return users[kept], items[kept], times[kept]


def _gram(users: np.ndarray, items: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """X'X, `[count, count]` float32: some users at a time, by products of dense rows or pair by pair, whichever is less
    work; so at most a tenth of `count` squared pairs are in memory."""
    gram = np.zeros((count, count), np.float32)
    _, starts = np.unique(users, return_index=True)
    bounds = np.append(starts, len(users))
    for first in range(0, len(starts), TOGETHER):
        own = bounds[first : first + TOGETHER + 1]
        lengths = np.diff(own)
        part, row = slice(own[0], own[-1]), np.repeat(np.arange(len(lengths)), lengths)
        if PAIR * np.sum(lengths**2) > count * count:
            dense = np.zeros((len(lengths), count), np.float32)
            dense[row, items[part]] = weights[part]
            gram += dense.T @ dense
        else:
            other, one = ranges(own[:-1][row], lengths[row])
            one += own[0]
            np.add.at(gram, (items[one], items[other]), weights[one] * weights[other])
    return gram


def _weights(gram: np.ndarray) -> np.ndarray:
    """B, its diagonal 0; in place to spare memory."""
    gram[np.diag_indices(len(gram))] += RIDGE
    inverse: np.ndarray = np.linalg.inv(gram)
    inverse /= -np.diag(inverse)
    inverse[np.diag_indices(len(inverse))] = 0.0
    return inverse
