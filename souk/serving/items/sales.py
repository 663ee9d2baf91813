"""Purchases of what is sold once: they end their items for everybody."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from souk.schema import EventType
from souk.serving.releases import Releases

logger = logging.getLogger(__name__)


class Sales:
    """Ends items with their first purchase where the release that answers has `repeat.sold_once`.

    Args:
        releases: that which answers has the items.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases

    def end(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Ends the items of the purchases among events that come for the first time.

        What fails for another reason than the disk is in the server's log, and the events are taken.

        Raises:
            OSError: the disk did not take it; nothing changed.
        """
        if not self._releases.now.bundle.spec.repeat.sold_once:
            return
        times: dict[str, int] = {}
        for row in rows:
            if row["event_type"] == EventType.PURCHASE:
                times[row["item_id"]] = min(row["timestamp"], times.get(row["item_id"], row["timestamp"]))
        try:
            if times:
                self._releases.sell(times)
        except OSError:
            raise
        except Exception:  # of the code: events that it has nothing to do with are taken, and this one is no less true
            logger.exception("%d items do not end with their purchase", len(times))
