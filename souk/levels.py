"""How near a candidate is to what a user looked at lately, in a number: in price, in size, in year.

Words are the same or not; of numbers those that are near each other say nearly the same. What is near is counted in
items: between two prices lies the share of the catalogue whose price is between them, so that no scale has to be known,
and one item of a million weighs no more than another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa

from souk.sources.rows import placed

NEAR = "near"  # how a pair feature of it begins: near:ITEM_FEATURE
USUAL = 1 / 3  # how far two levels lie apart at the mean that are drawn from all


@dataclass(frozen=True)
class Levels:
    """The level of each item in each number: the share of the items that have less, half of those with as much.

    Args:
        names: of the item features that are numbers.
        levels: `[items, names]` float64, 0 to 1; NaN where an item says nothing.
        marks: for each name the values that items have, ascending float64, and the level of each. They stay what they
            are when items come or change, so that a level means what it meant in training.
    """

    names: tuple[str, ...] = ()
    levels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    marks: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], items: pa.Table) -> Self:
        """From the item feature table.

        Args:
            names: its columns of numbers.
            items: the table.
        """
        marks = []
        for name in names:
            values = _numbers(items, name)
            known = np.sort(values[np.isfinite(values)])
            own = np.unique(known)
            low, high = (np.searchsorted(known, own, side) for side in ("left", "right"))
            marks.append((own, (low + high) / 2 / max(1, len(known))))
        found = cls(tuple(names), np.zeros((0, len(names))), tuple(marks))
        return replace(found, levels=found.of_rows(items))

    def of_rows(self, items: pa.Table) -> np.ndarray:
        """`[rows, names]`, of rows of the item feature table; between two marks a level is between theirs."""
        columns = np.full((len(items), len(self.names)), np.nan)
        for place, (name, (own, levels)) in enumerate(zip(self.names, self.marks, strict=True)):
            values = _numbers(items, name)
            known = np.isfinite(values)
            if len(own):
                columns[known, place] = np.interp(values[known], own, levels)
        return columns

    def with_rows(self, where: np.ndarray, items: pa.Table, size: int) -> Self:
        """With rows of the item feature table in the place of those at `where`, of `size` items together."""
        return replace(self, levels=placed(self.levels, where, self.of_rows(items), size)) if self.names else self

    def nearness(self, past: np.ndarray, weights: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """How much nearer candidates are to a past than items that are drawn from all are to each other.

        A third less the distance from the mean level of the past, times w / (w + 1) for the events' weights together: a
        single look of last week says little. 0 where the past or the candidate says nothing of the number.

        Args:
            past: `[P]` int64, positions of items.
            weights: `[P]` float64, how much each counts.
            positions: `[M]` int64, the candidates.

        Returns:
            `[names, M]` float64.
        """
        of_past = self.levels[past]
        known = np.isfinite(of_past)
        whole = weights @ known
        usual = weights @ np.where(known, of_past, 0) / np.where(whole > 0, whole, 1)
        near = USUAL - np.abs(self.levels[positions] - usual)
        return np.where(np.isfinite(near), near * (whole / (whole + 1)), 0).T

    def apart(self, past: np.ndarray, position: int) -> np.ndarray:
        """How much nearer each item of a past is to the one at `position` than is usual, `[P, names]`; 0 where one of
        both says nothing."""
        return np.nan_to_num(USUAL - np.abs(self.levels[past] - self.levels[position]))


def _numbers(items: pa.Table, name: str) -> np.ndarray:
    """float64, NaN where there is none."""
    return np.asarray(items[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
