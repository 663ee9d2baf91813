"""A release beside a log in which servers write."""

import numpy as np

from souk.serving.event_log import EventLog
from souk.serving.live_counts import LiveCounts
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


class Shop:
    """A release beside a log in which servers write; `now` is their clock."""

    def __init__(self, bundle, folder):
        self.bundle = bundle
        self.folder, self.now = folder / "events", NOW + HOUR
        self.servers = [EventLog(self.folder, name, lambda: self.now) for name in ("one", "two")]
        self.start()

    def start(self):
        self.recommender = Recommender.load(self.bundle, None, None)
        self.counts = LiveCounts(self.folder, SPEC, lambda: self.recommender, lambda: self.now)

    def of(self, *items):
        places = np.array([self.recommender.catalogue.positions[item] for item in items])
        return self.recommender.items.counts.at(places, np.full(len(items), self.now))[0].tolist()
