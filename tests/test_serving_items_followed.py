"""Servers of one workspace: what one is told of items, the others take from the log, in one order."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from souk.index.exact import ExactIndex
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from tests.serving_fixtures import NOW, STATES, vectors, write_shop, write_workspace
from tests.serving_process import JSON, serving

ANN = STATES[0]
DEAR = {"item_id": "new", "category": "all/g1", "price": 99.5, "title": "Gilded boots", "created_at": NOW - 1000}
ROUTE = "/v1/items:upsert"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    bundle = write_shop(tmp_path_factory.mktemp("followed") / "shop")
    return bundle, Recommender.load(bundle, ExactIndex(vectors(), bundle.available), None)


@pytest.fixture
def replicas(shop, tmp_path):
    """Two that share a log, and what each was told of the other."""
    bundle, recommender = shop
    made = []
    for _ in range(2):
        heard = []
        live = LiveItems(recommender, bundle, ItemLog(tmp_path / "log"), lambda: NOW - 1000, heard.append).load()
        made.append((live, heard))
    return made


def shown(live, **asked):
    (answer,) = live.current.recommend([Request(ANN.user_id, 5, NOW, state=ANN, **asked)])
    return [item.item_id for item in answer.items]


def same(one, other):
    """Whether two servers know the same of every item, whatever its position."""
    known = [{item: live._row(item) for item in live.current.catalogue.ids} for live in (one, other)]
    return known[0] == known[1]


def test_a_change_at_one_is_in_the_answers_of_the_other_at_its_next_look(replicas):
    (one, own), (other, heard) = replicas
    one.upsert([DEAR])
    assert "new" not in shown(other)
    other.follow()
    assert shown(other)[0] == "new" and shown(other) == shown(one)
    (told,) = heard
    assert (len(told.taken), told.older, told.unknown, told.refused) == (1, 0, 0, 0) and own == []
    one.upsert([{"item_id": "new", "available": False}])
    other.follow()
    assert "new" not in shown(other)
    one.upsert([{"item_id": "new", "available": True}, {"item_id": "new", "price": 0.5}])
    other.follow()
    assert "new" not in shown(other)[:1] and other._row("new")["item_price"] == 0.5
    assert same(one, other)


def test_both_write_and_come_to_the_same_whoever_was_first(replicas):
    (one, _), (other, _) = replicas
    one.upsert([DEAR])
    other.upsert([{"item_id": "new", "price": 1.0}])  # it has not looked: its own look comes before its row
    one.upsert([{"item_id": "new", "title": "Boots"}])
    other.follow()
    assert same(one, other) and one._row("new")["item_price"] == 1.0 and one._row("new")["title"] == "Boots"


def test_a_row_that_comes_between_a_look_and_a_write_counts_before_it(replicas, monkeypatch):
    (one, _), (other, _) = replicas
    write = one._log.append

    def late(*row):
        other.upsert([{**DEAR, "price": 5.0}])
        monkeypatch.undo()
        return write(*row)

    monkeypatch.setattr(one._log, "append", late)
    assert one.upsert([{**DEAR, "price": 7.0}]).accepted == 1
    other.follow()
    assert same(one, other) and other._row("new")["item_price"] == 7.0


def test_a_look_without_news_reads_nothing_and_a_thinned_log_is_read_again(replicas, shop, tmp_path, monkeypatch):
    (one, _), (other, heard) = replicas
    for price in range(1, 6):
        one.upsert([{**DEAR, "price": float(price)}])
    other.follow()
    reads, read = [], os.pread
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", lambda *given: reads.append(1) or read(*given))
        other.follow()
    assert reads == [] and len(heard) == 1
    later = LiveItems(shop[1], shop[0], ItemLog(tmp_path / "log"), lambda: NOW - 1000)
    later.load()  # as a server that starts: it leaves out what is overtaken
    assert len(later._log.read().rows) < 5
    one.upsert([{"item_id": "new", "price": 50.0}])
    for live in (other, later):
        live.follow()
        assert same(one, live) and live._row("new")["item_price"] == 50.0
    assert [len(told.taken) for told in heard] == [5, 1]  # what was taken before is not news


def watched(monkeypatch, live, *items):
    """Where rows are taken in parts of one: whether each item is available in the answers before each of these."""
    seen, prepared = [], LiveItems._prepared

    def prepare(self, *given):
        catalogue = live.current.catalogue
        seen.append(tuple(bool(catalogue.available[catalogue.positions[item]]) for item in items))
        return prepared(self, *given)

    monkeypatch.setattr("souk.serving.items.live.REPLAYED", 1)
    monkeypatch.setattr(LiveItems, "_prepared", prepare)
    return seen


def test_all_rows_of_a_look_are_in_the_answers_together(replicas, monkeypatch):
    (one, _), (other, _) = replicas
    one.upsert([{"item_id": "g1-05", "available": True}, {"item_id": "g1-06", "available": False}])
    one.upsert([{"item_id": "g1-05", "available": False}, {"item_id": "g1-06", "available": True}])
    seen = watched(monkeypatch, other, "g1-05", "g1-06")
    other.follow()
    assert seen == [(True, True)] * 4 and "g1-05" not in shown(other) and same(one, other)


def test_what_is_gone_does_not_come_back_while_a_thinned_log_is_taken(replicas, shop, tmp_path, monkeypatch):
    (one, _), (other, heard) = replicas
    one.upsert([{"item_id": "g1-05", "price": 1.0, "available": True}])
    for price in range(5):
        one.upsert([{"item_id": "g1-06", "price": float(price)}])
    one.upsert([{"item_id": "g1-05", "available": False}])
    other.follow()
    one.upsert([{"item_id": "g1-06", "title": "Boots"}])  # before the log is thinned, and not yet taken
    assert ItemLog(tmp_path / "log").thin() == 4
    one.upsert([{"item_id": "g1-06", "title": "Red boots"}])
    seen = watched(monkeypatch, other, "g1-05")
    other.follow()
    assert {*seen} == {(False,)} and same(one, other), "the rows that were not taken before, and no others"
    assert [len(told.taken) for told in heard] == [7, 2]


def test_a_log_in_the_place_of_another_is_taken_as_a_whole(replicas, shop, tmp_path, monkeypatch):
    (one, _), (other, _) = replicas
    for price in range(9):
        one.upsert([{"item_id": "g1-05", "price": float(price)}])
    other.follow()
    (tmp_path / "log").unlink()
    ItemLog(tmp_path / "log").append([{"item_id": "g1-05", "title": "Boots"}, DEAR], [False, True], NOW)
    other.follow()
    assert other._row("g1-05")["title"] == "Boots" and "new" in other.current.catalogue.positions


def test_a_tower_that_fails_in_the_midst_of_a_look_leaves_all_as_it_was(replicas, monkeypatch):
    (one, _), (other, _) = replicas
    one.upsert([{"item_id": "g1-05", "available": False}, DEAR])
    before, computed = other.current, other._tower._computed
    monkeypatch.setattr("souk.serving.items.live.REPLAYED", 1)
    monkeypatch.setattr(other._tower, "_computed", lambda rows: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        other.follow()
    assert other.current is before and other._rows == {}
    monkeypatch.setattr(other._tower, "_computed", computed)
    other.follow()
    assert same(one, other) and "g1-05" not in shown(other)


def test_what_was_refused_by_a_full_disk_is_seen_nowhere(replicas, monkeypatch):
    (one, _), (other, heard) = replicas

    def full(file):
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            one.upsert([DEAR])
    other.follow()
    assert heard == [] and "new" not in other.current.catalogue.positions
    one.upsert([{**DEAR, "price": 2.0}])
    other.follow()
    assert same(one, other) and other._row("new")["item_price"] == 2.0


def test_a_server_that_is_stopped_as_it_writes_holds_the_others_up_for_a_moment(replicas, shop, tmp_path, monkeypatch):
    monkeypatch.setattr("souk.serving.items.log.WAIT_SECONDS", 0.1)
    (one, _), (other, _) = replicas
    one.upsert([{"item_id": "g1-05", "available": False}])
    with (tmp_path / "log").open("rb+") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        before = one.current, other.current
        for told in (one.upsert, other.upsert):
            with pytest.raises(TimeoutError):
                told([DEAR])
        with pytest.raises(TimeoutError):
            other.follow()
        with pytest.raises(TimeoutError):
            LiveItems(shop[1], shop[0], ItemLog(tmp_path / "log"), lambda: NOW).load()
        assert (one.current, other.current) == before
        with pytest.raises(ZeroDivisionError), other.handing_over():  # a swap that fails: nobody waits for the lock
            raise ZeroDivisionError
    assert one.upsert([DEAR]).accepted == 1
    other.follow()
    assert same(one, other) and "g1-05" not in shown(other) and "new" in shown(other)


def test_an_availability_copies_no_array_but_its_own_and_a_price_its_own(shop, replicas):
    (live, _), _ = replicas
    known = live.current
    live.upsert([{"item_id": "g1-05", "available": False}])
    gone = live.current
    assert gone.catalogue.available.sum() == known.catalogue.available.sum() - 1
    assert gone.items.vectors is known.items.vectors and gone.items.values is known.items.values
    assert gone.ranker._goods is known.ranker._goods and gone.sources._born is known.sources._born
    assert gone.catalogue.filters is known.catalogue.filters and gone.catalogue.positions is known.catalogue.positions
    live.upsert([{"item_id": "g1-05", "available": True, "price": 77.0}])
    dear = live.current
    assert dear.items.vectors is known.items.vectors  # of known items: this tower does not look at the price
    assert dear.catalogue.filters is not known.catalogue.filters
    place = known.catalogue.positions["g1-05"]
    assert (dear.ranker._goods[place, 0], known.ranker._goods[place, 0]) == (
        77.0,
        live._table["item_price"][place].as_py(),
    )
    assert dear.ranker.item_value("item_price", place) == 77.0


def until(holds, seconds=60):
    """Waits for what has no time of its own."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_server_shows_what_another_process_was_told(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    asked = {"user_id": "ann", "k": 5, "timestamp": NOW}

    def items(server, **more):
        return {item["item_id"]: item for item in server.slates({**asked, **more})[0]["items"]}

    def tell(server, *rows):
        status, body = server.call(ROUTE, json.dumps({"items": rows}), JSON)
        assert status == 200 and json.loads(body)["accepted"] == len(rows), body

    with serving(workspace.root, tmp_path / "one.log") as one, serving(workspace.root, tmp_path / "other.log") as other:
        began = time.monotonic()
        tell(one, DEAR)
        until(lambda: "new" in items(other))
        assert items(other)["new"]["title"] == "Gilded boots"
        tell(other, {"item_id": "new", "price": 10.0})
        until(lambda: "new" not in items(one, filter={"price": {"min": 11}}))
        assert items(one, filter={"price": {"max": 10}}).keys() == items(other, filter={"price": {"max": 10}}).keys()
        best = next(iter(items(one)))
        tell(one, {"item_id": best, "available": False})
        until(lambda: best not in items(other))
        tell(other, {"item_id": best, "available": True})
        until(lambda: best in items(one))
        assert one.metric('souk_followed_items_total{outcome="taken"}') == 2.0
        assert other.metric("souk_item_lag_seconds_count") == 2.0
        assert 0 < other.metric("souk_item_lag_seconds_sum") < time.monotonic() - began, "of two waits"


@pytest.mark.slow
def test_a_process_that_is_stopped_as_it_writes_stops_no_other(tmp_path):
    """Answers come as ever, items are refused, the server ends when it is told to; what was refused is nowhere."""
    workspace = write_workspace(tmp_path / "workspace")
    holds = "import fcntl, sys; file = open(sys.argv[1], 'rb+'); fcntl.flock(file, fcntl.LOCK_EX); print(1, flush=True)"
    with serving(workspace.root, tmp_path / "server.log") as server:
        assert server.call(ROUTE, json.dumps({"items": [{"item_id": "g1-05", "price": 1}]}), JSON)[0] == 200
        words = [sys.executable, "-c", f"{holds}; input()", workspace.item_log]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stopped:
            try:
                stopped.stdout.readline()
                stopped.send_signal(signal.SIGSTOP)
                status, body = server.call(ROUTE, json.dumps({"items": [DEAR]}), JSON)
                assert status == 503 and "holds its lock for too long" in body.decode()
                (slate,) = server.slates({"user_id": "ann", "k": 5, "timestamp": NOW})
                assert slate["degraded"] == [] and slate["items"][0]["item_id"] != "new"
                assert server.stop() == 0
            finally:
                stopped.kill()
    assert [row["item_id"] for row in ItemLog(workspace.item_log).read().rows] == ["g1-05"]
