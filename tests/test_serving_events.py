"""Events that come while a release serves: on the disk, once, in the states, whatever disk, store and restarts do."""

import errno
import threading
import time
from types import SimpleNamespace

import pytest

from souk.schema import DAY_MS
from souk.serving.events import backlog
from souk.serving.events import live as live_events
from souk.serving.events.backlog import FEW, StateWriter
from souk.serving.events.live import Busy, LiveEvents, Taken
from souk.serving.events.log import HOUR_MS, EventLog, line, read
from souk.serving.events.states import event_of
from souk.serving.server import end
from souk.state import Event, UserState, kept_events, state_of
from souk.store.feast_store import FeastStore
from souk.store.publish import publish
from tests.events_fixtures import Store, opened, row
from tests.serving_fixtures import NOW, SPEC
from tests.store_fixtures import user_states

USERS = [f"of both {number}" for number in range(8)]


shop = pytest.fixture(opened)


def test_an_event_is_on_the_disk_and_in_the_state_when_it_is_answered_for(shop):
    rows = [row(1), row(2, value=3.5, device="tv"), row(3, user="bob")]
    assert shop.send(*rows) == Taken(3, 0, 0)
    assert shop.is_of(*rows[:2]) and shop.is_of(rows[2], user="bob")
    assert list(read(shop.log.current)) == rows
    assert shop.live.places == {"next": 3}


def test_an_id_counts_once_in_a_call_between_calls_and_after_a_restart(shop):
    assert shop.send(row(1), row(2), row(1, value=1.0)) == Taken(2, 1, 0)
    assert shop.send(row(2), row(3)) == Taken(1, 1, 0)
    shop.live.close()
    assert shop.start().loaded.events == 3
    assert shop.send(row(1), row(2), row(3), row(4)) == Taken(1, 3, 0)
    assert shop.is_of(row(1), row(2), row(3), row(4))


def test_what_waits_together_shares_one_write(shop):
    shop.store.held.acquire()
    first = shop.live.submit([row(0)])
    shop.until(lambda: shop.log.writes == 1)
    others = [shop.live.submit([row(n)]) for n in range(1, 6)]
    shop.store.held.release()
    assert [call.result() for call in (first, *others)] == [Taken(1, 0, 0)] * 6
    assert shop.log.writes == 2 and shop.is_of(*map(row, range(6)))


def test_calls_for_one_user_at_the_same_time_lose_nothing(shop):
    threads = [threading.Thread(target=lambda n=n: shop.send(row(n), row(100 + n))) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.is_of(*map(row, range(5)), *(row(100 + n) for n in range(5)))


def test_whoever_hung_up_stops_nobody(shop):
    shop.store.held.acquire()
    first = shop.live.submit([row(0)])
    shop.until(lambda: shop.log.writes == 1)
    gone, other = shop.live.submit([row(1)]), shop.live.submit([row(2)])
    assert gone.cancel()
    shop.store.held.release()
    assert first.result() == other.result() == Taken(1, 0, 0)
    assert shop.send(row(1)) == Taken(1, 0, 0), "it was not taken, so it is no duplicate"


def test_more_than_can_wait_is_refused_and_less_is_taken_later(shop, monkeypatch):
    monkeypatch.setattr(live_events, "MOST_WAITING", 3)
    shop.store.held.acquire()
    first = shop.live.submit([row(0)])
    shop.until(lambda: shop.log.writes == 1)
    waits = shop.live.submit([row(1), row(2)])
    with pytest.raises(Busy):
        shop.live.submit([row(3), row(4)])
    shop.store.held.release()
    assert (first.result(), waits.result()) == (Taken(1, 0, 0), Taken(2, 0, 0))
    assert shop.send(row(3)) == Taken(1, 0, 0)


def test_a_store_that_is_away_gets_everything_when_it_is_back(shop):
    shop.store.away = True
    assert shop.send(row(1)) == Taken(1, 0, 1)
    assert shop.send(row(1), row(2)) == Taken(1, 1, 1)
    assert shop.live.behind == 1
    shop.store.away = False
    shop.until(lambda: not shop.live.behind)
    assert shop.is_of(row(1), row(2))


def test_an_event_that_a_state_cannot_take_is_kept_and_stops_no_other(shop):
    spoiled = UserState("ann", 1, (Event("i", "click", NOW, event_id=None),), {NOW // DAY_MS: 1})
    shop.store.write([spoiled], NOW)  # who else wrote there: ids that cannot be compared
    others = [row(1, user="bob"), row(2, user="eve")]
    assert shop.send(row(0), others[0]) == Taken(2, 0, 1)
    assert shop.send(others[1]) == Taken(1, 0, 0)
    assert shop.is_of(others[0], user="bob") and shop.is_of(others[1], user="eve") and not shop.live.behind
    assert shop.live.places == {"next": 2, "refused": 1} and shop.send(row(0)) == Taken(0, 1, 0)
    shop.publication = "second"
    shop.until(lambda: shop.live.places["refused"] == 2)
    assert shop.send(row(3, user="bob")) == Taken(1, 0, 0), "nor does it in the backlog"
    shop.live.close()
    shop.store.write([state_of("ann", [], SPEC, {})], NOW)
    shop.start()
    assert shop.is_of(row(0)) and not shop.live.behind, "a start tries it again"


def test_a_file_that_cannot_be_read_stops_no_start_and_no_other_file_and_is_tried_again(shop, monkeypatch):
    shop.send(row(1))
    (file,) = shop.log.files()
    bad = file.with_name("10-x-000001.jsonl")  # before the others
    bad.mkdir()
    shop.live.close()
    shop.start()
    assert shop.is_of(row(1)) and shop.live.behind == 1
    shop.store.write([state_of("ann", [], SPEC, {})], NOW)
    shop.publication = "second"
    shop.until(lambda: shop.state().count == 1)
    assert [shop.send(row(n, user="bob")).pending for n in (2, 3)] == [0, 0]
    assert shop.is_of(row(2), row(3), user="bob") and shop.live.behind == 1
    bad.rmdir()
    bad.write_bytes(line(row(4, user="eve")))
    monkeypatch.setattr(shop.live._backlog, "_clock", lambda: time.monotonic() + backlog.AGAIN_SECONDS)
    shop.until(lambda: not shop.live.behind)
    assert shop.is_of(row(4, user="eve"), user="eve")


def test_files_that_a_network_file_system_lost_hold_up_no_other_and_end_no_start(shop, monkeypatch, caplog):
    shop.send(row(1))
    (file,) = shop.log.files()
    shop.live.close()
    file.with_name(".10-y-000001.open").mkdir()  # as one of a server that was killed
    away, there = file.with_name("10-x-000001.jsonl"), type(file).exists
    away.write_bytes(line(row(9, user="zoe")))

    def exists(path, **given):
        if path == away:
            raise OSError(errno.ESTALE, "Stale file handle")
        return there(path, **given)

    shop.store.write([state_of("ann", [], SPEC, {})], NOW)
    shop.publication = "second"
    with monkeypatch.context() as patched:
        patched.setattr(type(file), "exists", exists)
        shop.start()
        shop.until(lambda: shop.state().count == 1)
        assert not shop.send(row(2, user="bob")).pending and shop.live.behind
        assert f"{away} of the events is tried again later" in caplog.text
    monkeypatch.setattr(shop.live._backlog, "_clock", lambda: time.monotonic() + backlog.AGAIN_SECONDS)
    shop.until(lambda: shop.state("zoe") is not None)


def test_while_the_log_is_taken_again_calls_wait_for_a_few_users_or_rows_alone(shop, monkeypatch):
    for start in range(0, 300, 25):  # files of some 25 events, all of different users
        shop.send(*(row(n, user=f"u{n}") for n in range(start, start + 25)))
    shop.live.close()
    monkeypatch.setattr(live_events, "START_SECONDS", 0.0)
    monkeypatch.setattr(backlog, "ROWS", 7)
    shop.publication, users, rows = "second", [], []
    with shop.store.held:
        shop.start()
        take, grouped = shop.writer.take, shop.writer.grouped
        monkeypatch.setattr(shop.writer, "take", lambda events: users.append(len(events)) or take(events))
        monkeypatch.setattr(shop.writer, "grouped", lambda part: rows.append(len(part)) or grouped(part))
    shop.until(lambda: not shop.live.behind)
    assert (max(users), max(rows)) == (FEW, 7)


def test_states_that_are_published_anew_get_what_came_since(shop):
    shop.send(row(1), row(2))
    shop.now += HOUR_MS
    shop.send(row(3))
    shop.store.write([state_of("ann", [event_of(row(1))], SPEC, {})], NOW)
    shop.publication = "second"
    shop.until(lambda: shop.state().count == 3)
    assert shop.is_of(row(1), row(2), row(3))
    shop.until(lambda: not shop.live.behind)
    shop.store.write([state_of("ann", [], SPEC, {})], NOW)
    shop.live.close()
    shop.publication = "third"
    shop.start()
    assert shop.is_of(row(1), row(2), row(3)), "also where the server was away meanwhile"


def test_the_states_of_another_release_get_what_came_before_and_what_comes(shop):
    rows = [row(n) for n in range(3)]
    shop.send(*rows[:2])
    shop.store = Store()
    answers = [OSError("stale"), OSError("stale")]

    def name():
        if answers:
            raise answers.pop()
        return "of another view"

    shop.live.follow(StateWriter(shop.store, SPEC, lambda: shop.now), name)
    shop.send(rows[2])
    shop.until(lambda: shop.state() and shop.is_of(*rows))
    assert sum(shop.live.places.values()) >= 3, "what was counted stays"


def test_late_and_early_events_find_their_place(shop):
    rows = [row(n) for n in (50, 10, 400_000, 30)]
    for each in rows:
        shop.send(each)
    assert sorted(shop.state().daily.values()) == [4]
    assert [e.event_id for e in shop.state().events] == ["e10", "e30", "e50", "e400000"]
    assert shop.live.places == {"next": 2, "late": 2}


def test_what_two_servers_take_of_one_user_at_the_same_time_is_all_in_the_state(tmp_path, redis):
    publish(user_states(tmp_path / "states.parquet", [], SPEC), SPEC, tmp_path / "feast", NOW, redis.uri)
    stores = [FeastStore(tmp_path / "feast", SPEC) for _ in range(2)]
    logs = [EventLog(tmp_path / "events", f"w{number}", lambda: NOW) for number in range(2)]
    servers = [
        LiveEvents(log, StateWriter(store, SPEC, lambda: NOW), lambda: "first").open()
        for log, store in zip(logs, stores, strict=True)
    ]
    taken, count = [], kept_events(SPEC)  # more, and one that comes late may be too late

    def send(place):
        for user in USERS:
            for number in range(place, count, 2):
                taken.append(servers[place].submit([row(number, user, event_id=f"{user}{number}")]).result())

    threads = [threading.Thread(target=send, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()
    assert taken == [Taken(1, 0, 0)] * count * len(USERS)
    for user, found in zip(USERS, stores[0].read(USERS), strict=True):
        events = [event_of(row(number, user, event_id=f"{user}{number}")) for number in range(count)]
        wanted = state_of(user, events, SPEC, {})
        assert (found.count, repr(found.events), dict(found.engaged)) == (
            count,
            repr(wanted.events),
            dict(wanted.engaged),
        )


def test_the_end_does_not_wait_for_what_hangs(shop, monkeypatch, caplog):
    monkeypatch.setattr(live_events, "PATIENCE", 0.2)
    with shop.store.held:
        answer = shop.live.submit([row(1)])
        shop.live.close()
        assert not answer.done() and "is not answered" in caplog.text
    assert answer.result().accepted == 1
    shop.live.close()


def test_at_the_end_tensorflow_goes_first_and_events_hold_no_impressions_up():
    killed, written, done = threading.Event(), threading.Event(), []
    beside = SimpleNamespace(close=killed.set)
    events = SimpleNamespace(close=lambda: done.append(killed.is_set() and written.wait(60)))
    end(beside, events, [SimpleNamespace(close=written.set, sink=SimpleNamespace(name="files"), counts="")])
    assert done == [True]
