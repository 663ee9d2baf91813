"""A server's part that takes events, over a log and a store that a test may break."""

import threading

from souk.serving.events import live as live_events
from souk.serving.events.backlog import StateWriter
from souk.serving.events.live import LiveEvents
from souk.serving.events.log import EventLog
from souk.serving.events.states import event_of
from souk.state import state_of
from souk.store.interface import StoreError
from souk.store.memory import MemoryStore
from tests.serving_fixtures import NOW, SPEC


def row(number, user="ann", **more):
    return {
        "event_id": f"e{number}",
        "user_id": user,
        "item_id": f"i{number % 7}",
        "event_type": "click",
        "timestamp": NOW + number,
        **more,
    }


class Store(MemoryStore):
    """Is away while `away` is set, and waits while `held` is."""

    def __init__(self):
        super().__init__(SPEC)
        self.away, self.held = False, threading.Lock()

    def read(self, user_ids):
        with self.held:
            if self.away:
                raise StoreError("a store", "none")
            return super().read(user_ids)


class Log(EventLog):
    """Counts its writes to the disk."""

    writes = 0

    def append(self, rows):
        self.writes += 1
        super().append(rows)


class Shop:
    """A server's part that takes events, over one folder; started again with `start`."""

    def __init__(self, folder):
        self.folder, self.store, self.now, self.publication, self.starts = folder, Store(), NOW, "first", 0
        self.live = None

    def start(self):
        self.starts += 1
        self.log = Log(self.folder, f"w{self.starts}", lambda: self.now, most_bytes=5000)
        self.writer = StateWriter(self.store, SPEC, lambda: self.now)
        self.live = LiveEvents(self.log, self.writer, self.named).open()
        return self.live

    def named(self):
        """The publication; none is told while it is None."""
        if self.publication is None:
            raise StoreError("a store", "none")
        return self.publication

    def send(self, *rows):
        return self.live.submit(list(rows)).result()

    def state(self, user="ann"):
        return self.store.read([user])[0]

    def is_of(self, *rows, user="ann"):
        """Whether a state is that of these events, whatever the order of its days and items."""
        wanted, found = state_of(user, [event_of(r) for r in rows], SPEC, {}), self.state(user)
        same = [(s.count, repr(s.events), dict(s.daily), dict(s.engaged)) for s in (wanted, found)]
        return same[0] == same[1]

    def until(self, condition):
        """Waits for the thread; a failure is the test's time limit."""
        while not condition():
            threading.Event().wait(0.01)


def opened(tmp_path, monkeypatch):
    """A shop that is started, and asks a store that was away again at once; for `pytest.fixture`."""
    monkeypatch.setattr(live_events, "REST_SECONDS", 0.05)
    made = Shop(tmp_path / "shop" / "events")
    made.start()
    yield made
    made.live.close()
