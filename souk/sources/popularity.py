"""Popularity by segment of users: one row for everyone, one for each value of a categorical user feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from souk.sources.rows import SparseRows, read_arrays, summed

EVERYONE = 0  # the row


@dataclass(frozen=True)
class Segments:
    """The popular items of each segment.

    Args:
        numbers: row of each segment by `feature=value`; "" is everyone.
        rows: the share of each item in the segment's recent events.
    """

    numbers: Mapping[str, int]
    rows: SparseRows

    @classmethod
    def empty(cls) -> Segments:
        """No popular items."""
        return cls({"": EVERYONE}, SparseRows.empty(1))

    @classmethod
    def load(cls, path: str | Path, items: int) -> Segments:
        """Reads what `save` wrote; `items` is the size of the item table."""
        names = read_arrays(path, ("names",))["names"].tolist()
        return cls({name: row for row, name in enumerate(names)}, SparseRows.load(path, items))

    def save(self, path: str | Path) -> None:
        """Writes a numpy archive."""
        rows = self.rows
        names = np.array(list(self.numbers), np.str_)
        np.savez(path, names=names, indptr=rows.indptr, items=rows.items, weights=rows.weights)

    def of(self, user: Mapping[str, Any]) -> np.ndarray:
        """The rows of a user with these raw features: those of known segments, else that of everyone; `[S]` int64."""
        names = (f"{name}={value}" for name, value in user.items() if isinstance(value, str) and value)
        known = [self.numbers[name] for name in names if name in self.numbers]
        return np.array(known or [EVERYONE], np.int64)

    def popular(self, segments: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Items, ascending, and the mean of their shares in `segments`; `size` is that of the item table."""
        _, items, shares = self.rows.gather(segments)
        return summed(items, shares / max(1, len(segments)), size)

    def ordered(self, row: int) -> np.ndarray:
        """The items of one segment, most popular first, ties by position; `[found]` int64."""
        start, end = self.rows.indptr[row], self.rows.indptr[row + 1]
        order = np.argsort(-self.rows.weights[start:end], kind="stable")
        return self.rows.items[start:end][order].astype(np.int64)
