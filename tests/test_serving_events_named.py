"""What the log owes to states whose name is told later."""

from souk.serving.events import live as live_events
from souk.serving.events.backlog import StateWriter
from tests.events_fixtures import Shop, row


def test_states_that_cannot_be_named_yet_get_nothing_again_that_they_have(tmp_path, monkeypatch):
    """A Redis that is away as a server starts, or as a release changes, need not have lost anything."""
    monkeypatch.setattr(live_events, "REST_SECONDS", 0.05)
    shop = Shop(tmp_path / "shop" / "events")
    shop.start()
    shop.send(row(1))
    shop.live.close()
    shop.publication, taken = None, []
    monkeypatch.setattr(StateWriter, "take", lambda writer, events: taken.append(sorted(events)) or set())
    shop.start()
    shop.live.follow(shop.writer, shop.named)
    shop.until(lambda: shop.live._next is None)
    assert not shop.live.behind
    shop.publication = "first"
    shop.until(lambda: shop.live._backlog._publication == "first")
    assert not shop.live.behind and not taken
    shop.publication = "second"
    shop.until(lambda: taken)
    shop.live.close()
    assert taken == [["ann"]]
