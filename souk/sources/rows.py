"""Sparse rows of weighted items, in compressed form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from souk.errors import SoukError

COPIED = 128  # entries a row from which on it is quicker to copy rows than to look up entries


@dataclass(frozen=True)
class SparseRows:
    """For each row some items with a weight, by item.

    Args:
        indptr: `[rows + 1]` int64, where each row starts in the other two.
        items: `[entries]` int32, positions in the item table, ascending in a row.
        weights: `[entries]` float32.
    """

    indptr: np.ndarray
    items: np.ndarray
    weights: np.ndarray

    @classmethod
    def empty(cls, rows: int) -> SparseRows:
        """Rows without entries."""
        return cls(np.zeros(rows + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))

    @classmethod
    def strongest(cls, rows: np.ndarray, items: np.ndarray, weights: np.ndarray, count: int, kept: int) -> SparseRows:
        """The entries of greatest weight above 0 of each row; of equal ones those of the first items.

        Args:
            rows: `[entries]`, the row of each entry.
            items: `[entries]`.
            weights: `[entries]`.
            count: how many rows there are.
            kept: at most so many entries of a row.
        """
        inside = weights > 0
        rows, items, weights = rows[inside], items[inside], weights[inside]
        order = np.lexsort((items, rows))  # cheap where they are in order, as those of the rules are
        rows, items, weights = rows[order], items[order], weights[order]
        starts = np.searchsorted(rows, np.arange(count + 1))
        strong = np.ones(len(rows), bool)
        for row in np.flatnonzero(np.diff(starts) > kept).tolist():
            own = slice(starts[row], starts[row + 1])
            strong[own] = _strongest(weights[own], kept)
        rows, items, weights = rows[strong], items[strong], weights[strong]
        indptr = np.searchsorted(rows, np.arange(count + 1)).astype(np.int64)
        return cls(indptr, items.astype(np.int32), weights.astype(np.float32))

    @classmethod
    def joined(cls, parts: Iterable[SparseRows]) -> SparseRows:
        """The rows of the parts, one part after the other."""
        pieces = list(parts) or [cls.empty(0)]
        lengths = np.concatenate([np.diff(part.indptr) for part in pieces])
        return cls(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([part.items for part in pieces]),
            np.concatenate([part.weights for part in pieces]),
        )

    def longer(self, rows: int) -> SparseRows:
        """With so many empty rows at the end."""
        return SparseRows(np.concatenate([self.indptr, np.repeat(self.indptr[-1:], rows)]), self.items, self.weights)

    @classmethod
    def load(cls, path: str | Path, items: int) -> SparseRows:
        """Reads what `save` wrote.

        Args:
            path: the file.
            items: the size of the item table.

        Raises:
            SoukError: it is missing, or speaks of other items.
        """
        arrays = read_arrays(path, ("indptr", "items", "weights"))
        rows = cls(arrays["indptr"], arrays["items"], arrays["weights"])
        if len(rows.items) and not 0 <= rows.items.min() <= rows.items.max() < items:
            raise SoukError(f"positions of {items} items in {path}", f"{rows.items.max()}", "Do not mix releases.")
        return rows

    def save(self, path: str | Path) -> None:
        """Writes a numpy archive."""
        np.savez(path, indptr=self.indptr, items=self.items, weights=self.weights)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The entries of `rows`: of each its index in `rows`, its item and its weight."""
        starts, ends = self.indptr[rows], self.indptr[rows + 1]
        owner = np.repeat(np.arange(len(rows)), ends - starts)
        if len(owner) <= COPIED * len(rows):
            place, _ = self.places(rows)
            return owner, self.items[place], self.weights[place]
        parts = list(map(slice, starts.tolist(), ends.tolist()))
        items, weights = (np.concatenate([values[part] for part in parts]) for values in (self.items, self.weights))
        return owner, items, weights

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the entries of `rows` are, and of each its index in `rows`."""
        return ranges(self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows])


def ranges(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of ranges of `counts` from `starts` on, one after the other, and of each the index of its range."""
    owner = np.repeat(np.arange(len(starts)), counts)
    return np.arange(len(owner)) + np.repeat(starts - (np.cumsum(counts) - counts), counts), owner


def _strongest(weights: np.ndarray, kept: int) -> np.ndarray:
    """`[entries] bool`: the `kept` greatest, the first of equal ones; by partition, which is linear."""
    least = np.partition(weights, -kept)[-kept]
    strong: np.ndarray = weights > least
    strong[np.flatnonzero(weights == least)[: kept - np.count_nonzero(strong)]] = True
    return strong


def read_arrays(path: str | Path, names: Iterable[str], optional: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The arrays `names` of a numpy archive, and those of `optional` that it has.

    Raises:
        SoukError: there is no such file, or it lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (*names, *(name for name in optional if name in file))}
    except (OSError, KeyError, ValueError) as error:
        raise SoukError(f"a numpy archive at {path}", str(error), "Run the step build_features again.") from error


def summed(items: np.ndarray, weights: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct `items`, ascending, and the sum of the `weights` of each.

    Args:
        items: `[entries]`, in any order.
        weights: `[entries]`.
        size: of the item table.
    """
    if size <= 32 * len(items):  # counting is faster than sorting where the table is not much longer than the list
        totals = np.bincount(items, weights, minlength=size)
        found = np.flatnonzero(totals)
        return found, totals[found].astype(np.float32)
    found, where = np.unique(items, return_inverse=True)
    return found.astype(np.int64), np.bincount(where, weights, minlength=len(found)).astype(np.float32)


def distinct(items: np.ndarray, size: int) -> np.ndarray:
    """The distinct `items`, ascending: positions below `size`."""
    if size > 1024 * len(items):  # marking is faster than sorting where the table is not much longer than the list
        return np.unique(items)
    there = np.zeros(size, bool)
    there[items] = True
    return np.flatnonzero(there)


def weights_of(found: np.ndarray, weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The weight of each of `wanted` where the ascending `found` hold it, else 0; several weights, `[..., found]`, make
    several rows."""
    if not len(found):
        return np.zeros((*weights.shape[:-1], len(wanted)), np.float32)
    place = np.minimum(np.searchsorted(found, wanted), len(found) - 1)
    return np.where(found[place] == wanted, weights[..., place], 0).astype(np.float32)


def totals_of(keys: np.ndarray, weights: np.ndarray | None, size: int, wanted: np.ndarray) -> np.ndarray:
    """The sum of the weights of the `keys` that are each of `wanted`, float64; without weights how many are.

    Args:
        keys: `[entries]`, below `size`, in any order.
        weights: `[entries]`.
        size: of the table that they are keys of.
        wanted: keys.
    """
    if size <= 32 * len(wanted):  # as in `summed`
        return np.bincount(keys, weights, size)[wanted].astype(np.float64)
    found, where = np.unique(keys, return_inverse=True)
    totals = np.append(np.bincount(where, weights, len(found)), 0.0)
    place = np.searchsorted(found, wanted)
    return np.asarray(totals[np.where(np.append(found, -1)[place] == wanted, place, len(found))])


def placed(old: np.ndarray, where: np.ndarray, new: np.ndarray, size: int) -> np.ndarray:
    """`old`, `size` rows long, with `new` at the rows `where`: a copy, unless that is what it is."""
    if size == len(old) and np.array_equal(old[where], new, equal_nan=old.dtype.kind == "f"):
        return old
    grown = np.concatenate([old, np.zeros((size - len(old), *old.shape[1:]), old.dtype)])
    grown[where] = new
    return grown


def spliced(
    start: np.ndarray, values: np.ndarray, where: np.ndarray, new_start: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compressed rows with those `where` replaced, or added at the end."""
    size = max(len(start) - 1, int(where.max(initial=-1)) + 1)
    counts = placed(np.diff(start), where, np.diff(new_start), size)
    joined = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    whole = np.zeros(joined[-1], values.dtype)
    for old_rows, old_start, old in ((np.arange(len(start) - 1), start, values), (where, new_start, new)):
        owner = np.repeat(np.arange(len(old_rows)), np.diff(old_start))
        offset = np.arange(len(old)) - old_start[owner]
        stays = offset < counts[old_rows[owner]]  # of a replaced row, what does not fit; the rest is overwritten
        whole[(joined[old_rows[owner]] + offset)[stays]] = old[stays]
    return joined, whole
