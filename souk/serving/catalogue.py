"""The items of a release: ids, titles, availability, lifetimes and raw features, by position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from souk.serving.filters import Filter, Filters
from souk.serving.lifetimes import Lifetimes


@dataclass(frozen=True)
class Catalogue:
    """What a slate may be made of.

    Args:
        ids: item ids; an item is known by its place here everywhere inside the request path.
        titles: "" where an item has none.
        available: `[items]` bool.
        positions: id to position.
        filters: the columns that requests filter by; None where they cannot.
        lifetimes: when each item is there; None where all always are.
    """

    ids: tuple[str, ...]
    titles: tuple[str, ...]
    available: np.ndarray
    positions: Mapping[str, int]
    filters: Filters | None = None
    lifetimes: Lifetimes | None = None

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        titles: Sequence[str | None],
        available: np.ndarray,
        filters: Filters | None = None,
        lifetimes: Lifetimes | None = None,
    ) -> Catalogue:
        """A catalogue of columns of the item table."""
        return cls(
            tuple(ids),
            tuple(title or "" for title in titles),
            available,
            {item: position for position, item in enumerate(ids)},
            filters,
            lifetimes,
        )

    def with_items(self, rows: Sequence[Mapping[str, Any]], lifetimes: Lifetimes | None) -> Catalogue:
        """With rows of the item table in the place of their items' old ones, new items at the end; and lifetimes."""
        new = [row["item_id"] for row in rows if row["item_id"] not in self.positions]
        positions = self.positions
        if new:
            positions = {**positions, **{item: len(self.ids) + n for n, item in enumerate(new)}}
        where = [positions[row["item_id"]] for row in rows]
        titles = (*self.titles, *[""] * len(new)) if new else self.titles
        if any(titles[at] != (row["title"] or "") for at, row in zip(where, rows, strict=True)):
            changed = list(titles)
            for at, row in zip(where, rows, strict=True):
                changed[at] = row["title"] or ""
            titles = tuple(changed)
        available = np.concatenate([self.available, np.zeros(len(new), bool)])
        available[where] = [bool(row["available"]) for row in rows]
        filters = self.filters.with_items(rows, where, len(positions)) if self.filters else None
        ids = (*self.ids, *new) if new else self.ids
        return Catalogue(ids, titles, available, positions, filters, lifetimes)

    def matching(self, wanted: Filter, time: int) -> np.ndarray | None:
        """`[items]` bool, which items a filter lets through and are there at a time, UTC epoch milliseconds, available
        or not; None where these are all."""
        through = self.filters.mask(wanted) if self.filters else None
        there = self.lifetimes.at(time) if self.lifetimes else None
        if through is None or there is None:
            return there if through is None else through
        return np.asarray(through & there)

    def shown(self, wanted: Filter, time: int) -> np.ndarray:
        """`matching`, and available."""
        matching = self.matching(wanted, time)
        return self.available if matching is None else np.asarray(self.available & matching)

    def known(self, ids: Iterable[str]) -> set[int]:
        """The positions of those ids that are in the catalogue."""
        return {self.positions[item] for item in ids if item in self.positions}

    def allowed(self, excluded: frozenset[int], wanted: Filter, time: int) -> Callable[[np.ndarray], np.ndarray]:
        """Says of positions which may be shown: available, there, not excluded, and as the filter wants them."""
        shown = self.shown(wanted, time)
        shown = shown.copy() if shown is self.available else shown
        shown[np.fromiter(excluded, np.int64, len(excluded))] = False
        return lambda positions: shown[positions]
