"""Item-to-item weights in compressed rows: gathered from pairs, and summed over histories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from souk.metrics import Floats, Ints

HELD = 8_000_000  # pairs that are sorted at once
DENSE = 16_000_000  # a matrix of so few cells is held whole


@dataclass(frozen=True)
class Weights:
    """A sparse matrix `[items, items]`.

    Args:
        start: `[items + 1] int64`, where each row begins.
        columns: `[entries] int32`, ascending within a row.
        values: `[entries] float32`.
    """

    start: Ints
    columns: Ints
    values: Floats

    @classmethod
    def gather(cls, pairs: Iterable[tuple[Ints, Ints, Floats]], size: int) -> Weights:
        """Adds up pairs.

        Args:
            pairs: rows, columns and weights, each `[pairs]`, in parts.
            size: items.
        """
        dense = np.zeros(size * size if size * size <= DENSE else 0)
        keys: Ints = np.zeros(0, np.int64)
        values: Floats = np.zeros(0)
        waiting: list[tuple[Ints, Floats]] = []
        held = 0
        for rows, columns, weights in pairs:
            waiting.append((rows.astype(np.int64) * size + columns, np.asarray(weights, np.float64)))
            held += len(rows)
            if held > HELD:
                keys, values = _added([(keys, values), *waiting], dense)
                waiting, held = [], 0
        keys, values = _added([(keys, values), *waiting], dense)
        if len(dense):
            keys = np.flatnonzero(dense)
            values = dense[keys]
        start = np.searchsorted(keys, np.arange(size + 1, dtype=np.int64) * size)
        return cls(start, (keys % size).astype(np.int32), values.astype(np.float32))

    @property
    def rows(self) -> Ints:
        """`[entries]` the row of each entry."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def dense(self) -> Floats | None:
        """`[items, items] float32` where that is small, else nothing."""
        size = len(self.start) - 1
        if size * size > DENSE:
            return None
        whole = np.zeros((size, size), np.float32)
        whole[self.rows, self.columns] = self.values
        return whole

    def summed(self, items: Ints, weights: Floats) -> Floats:
        """`sum_k weights[k] · row[items[k]]`, `[items] float64`."""
        found = np.zeros(len(self.start) - 1)
        own, places = np.unique(items, return_inverse=True)
        for item, weight in zip(own, np.bincount(places, weights, minlength=len(own)), strict=True):
            row = slice(self.start[item], self.start[item + 1])  # a column is in it once
            found[self.columns[row]] += weight * self.values[row]
        return found


def _added(parts: Sequence[tuple[Ints, Floats]], dense: Floats) -> tuple[Ints, Floats]:
    """The sums by key, ascending; into `dense` where there is room for all keys."""
    keys, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(dense):
        dense += np.bincount(keys, values, minlength=len(dense))
        return keys[:0], values[:0]
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
    return keys[first], np.add.reduceat(values, first) if len(keys) else values
