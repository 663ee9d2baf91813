"""An item tower that takes its time holds nobody up but the rows that it is asked for."""

import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from souk.config import Repeat
from souk.index.exact import ExactIndex
from souk.models.towers import LENGTH
from souk.serving.events.live import LiveEvents
from souk.serving.events.log import EventLog
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.items.outcomes import Retired
from souk.serving.items.sales import Sales
from souk.serving.recommender import Recommender
from souk.serving.releases import Releases
from souk.serving.request import Request
from souk.serving.signatures import sound
from tests.events_fixtures import Shop, row
from tests.serving_fixtures import IDS, NOW, STATES, vectors, write_shop

ANN = STATES[0]
ONE, OTHER, THIRD = "g1-05", "g1-06", "g1-08"
NEW = {"item_id": "new", "category": "all/g1", "price": 99.5, "title": "Gilded boots"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A release in which each item is sold once."""
    bundle = write_shop(tmp_path_factory.mktemp("tower") / "shop")
    bundle = replace(bundle, spec=replace(bundle.spec, repeat=Repeat(sold_once=True)))
    return bundle, Recommender.load(bundle, ExactIndex(vectors(), bundle.available), None)


def test_a_vector_of_a_new_item_is_sound_where_a_tower_may_give_it():
    unit = np.array([0.6, 0.8], np.float32)
    lengths = [1, LENGTH, 1.005, 0.5, 1.1, 0, np.nan, np.inf]
    assert sound(np.array([length * unit for length in lengths])).tolist() == [True] * 3 + [False] * 5


@pytest.fixture
def servers(shop, tmp_path):
    """Two of one workspace."""
    return [LiveItems(shop[1], shop[0], ItemLog(tmp_path / "log"), lambda: NOW).load() for _ in range(2)]


@contextmanager
def waiting(live, call):
    """The tower does not answer `call` until the end; what it returned, or raised."""
    asked, go, compute, told = threading.Event(), threading.Event(), live._tower._computed, []

    def held(rows):
        asked.set()
        assert go.wait(120)
        return compute(rows)

    def run():
        try:
            told.append(call())
        except Exception as error:
            told.append(error)

    live._tower._computed = held
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert asked.wait(60)
        yield told
        assert not told
    finally:
        go.set()
        thread.join()
        live._tower._computed = compute


def at_once(call):
    """What a call returns while the tower does not answer."""
    told = []
    thread = threading.Thread(target=lambda: told.append(call()), daemon=True)
    thread.start()
    thread.join(20)
    assert told, "it waits"
    return told[0]


def shown(live):
    (slate,) = live.current.recommend([Request("ann", 200, NOW, state=ANN)])
    return {item.item_id for item in slate.items}


def end(live, item):
    return live.current.items.available_until[live.current.catalogue.positions[item]]


def same(*lives):
    """Whether servers know the same of every item."""
    known = [{item: live._row(item) for item in live.current.catalogue.ids} for live in lives]
    return all(each == known[0] for each in known)


def test_a_purchase_and_a_click_behind_it_wait_for_no_upsert(servers, shop, tmp_path):
    here, there = servers
    events = Shop(tmp_path / "events")
    events.start().close()
    sold = Sales(SimpleNamespace(now=SimpleNamespace(bundle=shop[0], live=here), sell=here.sell)).end
    live = LiveEvents(EventLog(tmp_path / "events", "w9", lambda: NOW), events.live._writer, lambda: "", sold=sold)
    live.open()
    with waiting(here, lambda: here.upsert([NEW])) as told:
        answers = (
            live.submit([row(1, item_id=ONE, event_type="purchase", timestamp=NOW - 5)]),
            live.submit([row(2, "bob")]),
        )
        assert [at_once(answer.result).accepted for answer in answers] == [1, 1]
        assert ONE not in shown(here) and "new" not in shown(here)
    live.close()
    assert told[0].accepted == 1 and "new" in shown(here)
    there.follow()
    assert same(here, there) and ONE not in shown(there)


def test_a_purchase_does_not_wait_for_what_another_server_was_told(servers):
    """It counts at once, and is in the log behind that: also of an item that came, or was put up again, there."""
    here, there = servers
    here.sell({THIRD: NOW - 50})
    there.upsert([NEW, {"item_id": THIRD, "available_until": None}])
    with waiting(here, here.follow):
        at_once(lambda: here.sell({ONE: NOW - 5, THIRD: NOW - 3, "new": NOW, "unknown": NOW}))
        at_once(lambda: here.sell({ONE: NOW - 4, OTHER: NOW - 2}))
        assert not {ONE, OTHER, THIRD, "new"} & shown(here) and len(here._log.read().rows) == 8
    there.follow()
    here.follow()
    for live in servers:
        assert [end(live, item) for item in (ONE, OTHER, THIRD, "new")] == [NOW - 5, NOW - 2, NOW - 3, NOW]
    assert same(here, there) and not {ONE, OTHER, THIRD} & shown(here)


def test_a_purchase_that_others_write_before_counts_at_once(servers, monkeypatch):
    here, there = servers
    write = here._log.append

    def late(*given):
        monkeypatch.undo()
        there.upsert([NEW])
        return write(*given)

    monkeypatch.setattr(here._log, "append", late)
    here._tower._computed, compute = None, here._tower._computed
    here.sell({ONE: NOW - 5})
    assert ONE not in shown(here) and "new" not in here.current.catalogue.positions
    here._tower._computed = compute
    here.follow()
    there.follow()
    assert same(here, there) and end(here, ONE) == NOW - 5 and "new" in shown(here)


def test_the_arm_of_an_experiment_ends_what_is_sold_too(servers):
    now, arm = servers
    releases = Releases.__new__(Releases)
    releases.now, releases.beside = SimpleNamespace(live=now), [SimpleNamespace(live=arm)]
    now.upsert([NEW])
    with waiting(arm, arm.follow):
        at_once(lambda: releases.sell({ONE: NOW - 5}))
        assert ONE not in shown(arm) and len(now._log.read().rows) == 2
    assert same(now, arm)
    releases.sell({OTHER: NOW - 5})
    assert OTHER not in shown(arm) and len(now._log.read().rows) == 3


def test_a_release_that_goes_waits_for_no_upsert_which_is_the_next_ones(servers):
    here, _ = servers

    def handed_over():
        with here.handing_over():
            return True

    with waiting(here, lambda: here.upsert([NEW])) as told:
        at_once(handed_over)
    assert isinstance(told[0], Retired) and not here._log.read().rows and "new" not in here.current.catalogue.positions
    assert here.follow() is None


def test_what_others_wrote_while_the_tower_was_asked_is_in_the_vector(servers):
    here, there = servers
    here.upsert([NEW])
    with waiting(here, lambda: here.upsert([{"item_id": "new", "price": 7.0}])):
        there.upsert([{"item_id": "new", "category": "all/g2"}])
        at_once(lambda: here.vary({}))
    there.follow()
    assert same(here, there) and here._row("new")["item_price"] == 7.0
    for live in servers:
        own = live.current.parts[0].vectors[live.current.catalogue.positions["new"]]
        assert np.allclose(own, live._tower.of([live._row("new")])[0]) and own[2] == 1, "of both words"


def test_what_the_tower_reads_again_is_asked_once_and_ends_are_not_asked_for(servers, monkeypatch):
    here, _ = servers
    asked, compute = [], here._tower._computed
    monkeypatch.setattr(here._tower, "_computed", lambda rows: asked.append(len(rows)) or compute(rows))
    here.upsert([NEW, {**NEW, "item_id": "more"}])
    here.upsert([{"item_id": item, "available_until": NOW + 9} for item in (*IDS[:5], "new")])
    assert asked == [2]
