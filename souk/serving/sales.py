"""Purchases of what is sold once: they end their items for everybody, as an upsert does."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from souk.schema import EventType
from souk.serving.releases import Releases

logger = logging.getLogger(__name__)


class Sales:
    """Ends items with their purchases where the release that answers has `repeat.sold_once`.

    An item that ends earlier anyway, or that the release does not know, stays as it is.

    Args:
        releases: that which answers has the items.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    def end(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Ends the items of the purchases among events that come for the first time.

        Raises:
            OSError: the disk did not take it; nothing changed.
        """
        served = self._releases.now
        if not served.bundle.spec.repeat.sold_once:
            return
        current = served.live.current
        sold: dict[str, int] = {}
        for row in rows:
            if row["event_type"] == EventType.PURCHASE and row["item_id"] in current.catalogue.positions:
                sold[row["item_id"]] = max(row["timestamp"], sold.get(row["item_id"], 0))
        until = current.items.available_until
        ends = [
            {"item_id": item, "available_until": time}
            for item, time in sold.items()
            if until[current.catalogue.positions[item]] > time
        ]
        if ends and (refused := self._releases.upsert(ends).refused):
            logger.warning("%d items do not end with their purchase", len(refused))
