"""What the states lack of the log when a server starts, and how long it waits for it."""

import pytest

from souk.serving.events import live as live_events
from souk.store.interface import Locked
from tests.events_fixtures import opened, row

shop = pytest.fixture(opened)


def test_what_was_answered_for_and_not_applied_is_applied_by_the_next_start(shop):
    shop.store.away = True
    shop.send(row(1), row(2))
    shop.live.close()
    shop.store.away = False
    shop.start()
    assert shop.is_of(row(1), row(2)) and not shop.live.behind
    places = dict(shop.live.places)
    shop.live.close()
    assert places == {"next": 2} and shop.start().places == {}, "and not again by the one after it"


def test_a_start_without_the_store_serves_and_catches_up(shop):
    shop.store.away = True
    shop.send(row(1))
    shop.live.close()
    shop.start()
    assert shop.live.behind == 1
    shop.store.away = False
    shop.until(lambda: not shop.live.behind)
    assert shop.is_of(row(1))


def test_a_start_waits_for_the_lock_of_who_was_killed_and_not_for_one_that_goes_on(shop, monkeypatch):
    shop.store.away = True
    shop.send(row(1))
    shop.live.close()
    shop.store.away = False
    update, held = shop.store.update, [1] * 1000

    def held_up(*args):
        if held:
            held.pop()
            raise Locked("to change states alone", "another did")
        update(*args)

    monkeypatch.setattr(shop.store, "update", held_up)
    monkeypatch.setattr(live_events, "LOCKED_SECONDS", 0.0)
    shop.start()
    assert shop.live.behind == 1
    shop.live.close()
    monkeypatch.setattr(live_events, "LOCKED_SECONDS", 60.0)
    held[:] = [1] * 3
    shop.start()
    assert shop.live.behind == 0 and shop.is_of(row(1))
