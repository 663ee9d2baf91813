"""The items of a release: ids, titles, availability and raw features, by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Catalogue:
    """What a slate may be made of.

    Args:
        ids: item ids; an item is known by its place here everywhere inside the request path.
        titles: "" where an item has none.
        available: `[items]` bool.
        positions: id to position.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    available: np.ndarray
    positions: Mapping[str, int]

    @classmethod
    def of(cls, ids: Sequence[str], titles: Sequence[str | None], available: np.ndarray) -> Catalogue:
        """A catalogue of columns of the item table."""
        return cls(
            tuple(ids),
            tuple(title or "" for title in titles),
            available,
            {item: position for position, item in enumerate(ids)},
        )

    def known(self, ids: Iterable[str]) -> set[int]:
        """The positions of those ids that are in the catalogue."""
        return {self.positions[item] for item in ids if item in self.positions}
