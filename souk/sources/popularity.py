"""Popularity by segment: one row for everyone, one for each value of a column of the user or of the moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from souk.sources.rows import SparseRows, read_arrays

EVERYONE = 0  # the row


@dataclass(frozen=True)
class Segments:
    """The popular items of each segment.

    Where a user is of several segments, what each adds is multiplied, as if it said something of its own (naive Bayes):
    an item's share among everyone, times, for each segment, its lift there. Which columns are worth that
    `souk.features.segments` finds. Releases without lifts take the mean of the shares.

    Args:
        numbers: row of each segment by `feature=value`; "" is everyone.
        rows: the share of each item in the segment's recent events.
        lifts: `[entries]` float32, each of these shares over that of everyone; none in releases of before.
        floors: `[rows]` float32, the lift of an item that nobody of the segment took.
    """

    numbers: Mapping[str, int]
    rows: SparseRows
    lifts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    floors: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    @classmethod
    def empty(cls) -> Segments:
        """No popular items."""
        return cls({"": EVERYONE}, SparseRows.empty(1))

    @classmethod
    def load(cls, path: str | Path, items: int) -> Segments:
        """Reads what `save` wrote; `items` is the size of the item table."""
        rows = SparseRows.load(path, items)
        arrays = read_arrays(path, ("names",), optional=("lifts", "floors"))
        names = arrays.pop("names").tolist()
        return cls({name: row for row, name in enumerate(names)}, rows, **arrays)

    def save(self, path: str | Path) -> None:
        """Writes a numpy archive."""
        arrays: dict[str, Any] = self.arrays()
        np.savez(path, **arrays)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `save` writes, by name."""
        found = {"names": np.array(list(self.numbers), np.str_), **vars(self.rows)}
        return found | ({"lifts": self.lifts, "floors": self.floors} if len(self.floors) else {})

    def of(self, asker: Mapping[str, Any]) -> np.ndarray:
        """The rows of raw features of a user and a moment: those of known segments, else that of everyone.

        Returns:
            `[S]` int64.
        """
        names = (
            f"{name}={value}" for name, value in asker.items() if isinstance(value, str | Integral) and value != ""
        )
        known = [self.numbers[name] for name in names if name in self.numbers]
        return np.array(known or [EVERYONE], np.int64)

    def popular(self, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Items, ascending, and their shares among those who are of all of `segments` (`[S]` int64, rows)."""
        place, _ = self.rows.places(segments)
        items, shares = self.rows.items[place], self.rows.weights[place]
        if len(segments) == 1:
            return items.astype(np.int64), shares
        found, where = np.unique(items, return_inverse=True)
        if not len(self.floors):
            return found.astype(np.int64), np.bincount(where, shares / len(segments)).astype(np.float32)
        more, everyone = self._parts
        likely = np.empty(len(found))
        likely[where] = everyone[place]
        likely *= np.exp(np.bincount(where, more[place]))
        return found.astype(np.int64), (likely / likely.sum()).astype(np.float32)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """`[entries]` each: the logarithm of the lift over its row's floor, and the item's share among everyone."""
        floors = np.repeat(self.floors.astype(np.float64), np.diff(self.rows.indptr))
        return np.log(self.lifts / floors), self.rows.weights / self.lifts.astype(np.float64)

    def leading(self, segments: np.ndarray) -> Iterator[int]:
        """The items of `segments`, most popular first, then those of everyone; some come twice."""
        if len(self.floors):
            found, shares = self.popular(segments)
            first: Iterable[int] = found[np.argsort(-shares, kind="stable")].tolist()
        else:
            first = chain.from_iterable(self.ordered(row).tolist() for row in segments.tolist())
        return chain(first, self.ordered(EVERYONE).tolist())

    def ordered(self, row: int) -> np.ndarray:
        """The items of one segment, most popular first, ties by position; `[found]` int64."""
        start, end = self.rows.indptr[row], self.rows.indptr[row + 1]
        order = np.argsort(-self.rows.weights[start:end], kind="stable")
        return self.rows.items[start:end][order].astype(np.int64)
