"""Ends of items by purchases of what is sold once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from souk.items import of_this_listing
from souk.serving.loaded import Loaded


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
    """Whether a purchase ends a known item: none is earlier, and it is of this listing."""
    place, sold = current.catalogue.positions[row["item_id"]], row["available_until"]
    until, created = current.items.available_until[place], current.items.created_at[place]
    return bool(until > sold and of_this_listing(sold, created))
