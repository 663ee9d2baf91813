"""A release beside a log in which servers write."""

from dataclasses import replace

import numpy as np

from souk.counts import ItemCounts
from souk.serving.events.counts import LiveCounts
from souk.serving.events.log import EventLog
from souk.serving.recommender import Recommender
from tests.serving_fixtures import NOW, SPEC

HOUR = 3_600_000


def click(number, item, time=NOW + 1, **more):
    return {
        "event_id": f"e{number}",
        "user_id": "ann",
        "item_id": item,
        "event_type": "click",
        "timestamp": time,
        **more,
    }


def engagements(recommender, *items):
    """How often items were engaged with."""
    places = np.array([recommender.catalogue.positions[item] for item in items])
    return recommender.items.counts.at(places, np.full(len(items), NOW + HOUR))[0].tolist()


class Shop:
    """A release beside a log in which servers write; `now` is their clock.

    Args:
        bundle: the release.
        folder: of the workspace.
        loaded: its recommender, which stays as it is.
    """

    def __init__(self, bundle, folder, loaded=None):
        self.bundle, self._loaded = bundle, loaded or Recommender.load(bundle, None, None)
        self.folder, self.now = folder / "events", NOW + HOUR
        self.servers = [EventLog(self.folder, name, lambda: self.now) for name in ("one", "two")]
        self.start()

    def start(self):
        self.recommender = self._loaded.with_counts(ItemCounts.of(self.bundle.counters))
        self.counts = LiveCounts(self.folder, SPEC, lambda: self.recommender, lambda: self.now)

    def know(self, positions):
        """There are more items, by id the places of some that are there."""
        catalogue = self.recommender.catalogue
        self.recommender.catalogue = replace(catalogue, positions={**catalogue.positions, **positions})

    def of(self, *items):
        return engagements(self.recommender, *items)
