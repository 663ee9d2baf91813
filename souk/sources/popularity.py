"""Popularity by segment: one row for everyone, one for each value of a column of the user or of the moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from souk.sources.rows import SparseRows, read_arrays

EVERYONE = 0  # the row
LIFTED = ("lifts", "rest", "lately", "least")


def _none() -> np.ndarray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True)
class Segments:
    """The popular items of each segment.

    Where a user is of several segments, what each adds is multiplied, as if it said something of its own (naive Bayes):
    an item's share among everyone, times, for each segment, its lift there. Which columns are worth that
    `souk.features.segments` finds. Releases without lifts take the mean of the shares.

    Args:
        numbers: row of each segment by `feature=value`; "" is everyone.
        rows: the share of each item in the segment's recent events.
        lifts: `[entries]` float32, how many times as often the segment takes each; none in releases of before.
        rest: `[rows]` float32, the mean lift of what a row does not list.
        lately: `[items]` float32, the share of each item in the recent events of everyone.
        least: `[rows]` float32, the lift times the share among everyone that what a row does not list has at most; none
            in releases of before.
    """

    numbers: Mapping[str, int]
    rows: SparseRows
    lifts: np.ndarray = field(default_factory=_none)
    rest: np.ndarray = field(default_factory=_none)
    lately: np.ndarray = field(default_factory=_none)
    least: np.ndarray = field(default_factory=_none)

    @classmethod
    def empty(cls) -> Segments:
        """No popular items."""
        return cls({"": EVERYONE}, SparseRows.empty(1))

    @classmethod
    def load(cls, path: str | Path, items: int) -> Segments:
        """Reads what `save` wrote; `items` is the size of the item table."""
        rows = SparseRows.load(path, items)
        arrays = read_arrays(path, ("names",), optional=LIFTED)
        names = arrays.pop("names").tolist()
        return cls({name: row for row, name in enumerate(names)}, rows, **arrays)

    def save(self, path: str | Path) -> None:
        """Writes a numpy archive."""
        arrays: dict[str, Any] = self.arrays()
        np.savez(path, **arrays)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `save` writes, by name."""
        found = {"names": np.array(list(self.numbers), np.str_), **vars(self.rows)}
        lifted = LIFTED if len(self.least) else LIFTED[:-1] if len(self.rest) else ()  # a name stands for its arrays
        return found | {name: getattr(self, name) for name in lifted}

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
        place, owner = self.rows.places(segments)
        items = self.rows.items[place].astype(np.int64)
        if len(segments) == 1:
            return items, self.rows.weights[place]
        found, where = np.unique(items, return_inverse=True)
        if not len(self.rest):
            return found, np.bincount(where, self.rows.weights[place] / len(segments)).astype(np.float32)
        everyone = self.lately[found].astype(np.float64)
        rest = self.rest[segments].astype(np.float64)[:, np.newaxis]
        lifts = np.repeat(rest, len(found), axis=1)
        if len(self.least):
            lifts = np.minimum(lifts, self.least[segments][:, np.newaxis] / np.maximum(everyone, 1e-300))
        lifts[owner, where] = self.lifts[place]
        likely = everyone * np.prod(lifts / rest, axis=0)
        return found, (likely / (likely.sum() + max(0.0, 1 - everyone.sum()))).astype(np.float32)

    def leading(self, segments: np.ndarray) -> Iterator[int]:
        """The items of `segments`, most popular first, then those of everyone; some come twice."""
        if len(self.rest):
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
