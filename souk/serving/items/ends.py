"""Ends of items by purchases of what is sold once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from souk.items import of_this_listing
from souk.serving.items.lines import HOUR_MS
from souk.serving.loaded import Loaded

MOST_WAITING = 100_000  # purchases of items that are still to come


def rows_of(times: Mapping[str, int], current: Loaded, now: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that end items, of those that are known and of others: a release to come may have these.

    Args:
        times: of purchases by item, UTC epoch milliseconds.
        current: the items as they are.
        now: the latest end, UTC epoch milliseconds: the clock of who bought may be ahead.
    """
    rows = [{"item_id": item, "available_until": min(time, now)} for item, time in times.items()]
    known = current.catalogue.positions
    there = [row for row in rows if row["item_id"] in known and ends(row, current)]
    return there, [row for row in rows if row["item_id"] not in known]


def ends(row: Mapping[str, Any], current: Loaded) -> bool:
    """Whether a purchase, or another end, ends a known item: none is earlier, and it is of this listing."""
    place, sold = current.catalogue.positions[row["item_id"]], row["available_until"]
    until, created = current.items.available_until[place], current.items.created_at[place]
    return bool(until > sold and of_this_listing(sold, created))


class Waiting:
    """Purchases of items that are not there: an upsert that makes one may come later than its sale.

    Of those of an item the earliest of each hour is kept. When its listing began is not known yet, and a day more or
    less is none of it (`souk.items.of_this_listing`).

    Args:
        most: purchases that are kept; beyond, those of the items that wait longest are given up.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._times: dict[str, tuple[int, ...]] = {}
        self._size = self.given_up = 0

    def __len__(self) -> int:
        """Purchases that are kept."""
        return self._size

    def lacks(self, row: Mapping[str, Any]) -> bool:
        """Whether a row that ends an item says more than those that are kept."""
        end = row["available_until"]
        return not any(t <= end and t // HOUR_MS == end // HOUR_MS for t in self._times.get(row["item_id"], ()))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keeps what the rows that end items say more."""
        for row in filter(self.lacks, rows):
            end, known = row["available_until"], self._times.get(row["item_id"], ())
            others = tuple(time for time in known if time // HOUR_MS != end // HOUR_MS)
            self._times[row["item_id"]] = (*others, end)
            self._size += 1 + len(others) - len(known)
            while self._size > self._most:
                gone = len(self._times.pop(next(iter(self._times))))
                self._size, self.given_up = self._size - gone, self.given_up + gone

    def born(self, row: dict[str, Any], given: Mapping[str, Any], now: int) -> None:
        """Fills in when a new item came to be, and its end where it was sold before.

        Args:
            row: of the item table.
            given: what was sent: an `available_until` of `null` says that the item is to be had all the same.
            now: UTC epoch milliseconds.
        """
        row["created_at"] = now if row["created_at"] is None else row["created_at"]
        sold = np.array(self._times.get(row["item_id"], ()), np.float64)
        ends = sold[of_this_listing(sold, np.array(row["created_at"], np.float64))]
        if len(ends) and given.get("available_until", ends) is not None:
            end = row["available_until"]
            row["available_until"] = int(ends.min() if end is None else min(end, ends.min()))
