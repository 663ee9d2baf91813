"""Events sent to a real server, which is killed: what it answered for is there, and the next request knows it."""

import contextlib
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from souk.serving.events.log import EventLog, read
from souk.state_rows import to_row
from souk.store.definitions import view_name
from souk.store.feast_store import FeastStore
from souk.store.publish import publish
from souk.store.user_locks import keys_of
from tests.redis_server import redis_server
from tests.serving_fixtures import SPEC, STATES, write_workspace
from tests.serving_process import JSON, serving

pytestmark = pytest.mark.slow
ROUTE = "/v1/events"
ASKED = {"user_id": "ann", "k": 5}


def now():
    return time.time_ns() // 1_000_000


def click(server, user, item, name):
    """Sends a click of a moment ago; the status and the answer."""
    row = {"event_id": name, "user_id": user, "item_id": item, "event_type": "click", "timestamp": now() - 1}
    status, body = server.call(ROUTE, json.dumps(row), JSON)
    return status, json.loads(body)


def first(server, user="ann"):
    (slate,) = server.slates({**ASKED, "user_id": user})
    return slate["items"][0]["item_id"], slate["degraded"]


def rows(workspace):
    log = EventLog(workspace.events, "reader", now)
    return [row["event_id"] for path in log.files() for row in read(path)]


def test_what_was_answered_for_survives_a_hung_redis_and_a_killed_server(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        states = tmp_path / "user_state.parquet"
        pq.write_table(pa.Table.from_pylist([to_row(s, SPEC) for s in STATES]), states)
        publish(states, SPEC, workspace.feast, now(), redis.uri)
        words = ("--store-timeout-ms", "2000")  # of a busy machine
        with serving(workspace.root, tmp_path / "first.log", *words) as server:
            item, _ = first(server)
            assert click(server, "ann", item, "e1")[1]["pending"] == 0
            second, degraded = first(server)
            assert second != item and degraded == []
            with redis.frozen():
                status, answer = click(server, "ann", second, "e2")
                assert (status, answer["accepted"], answer["pending"]) == (200, 1, 1)
                assert first(server)[1] == ["features_unavailable"]
                server.process.kill()
                server.process.wait()
        redis.kill()
        redis.start()
        with contextlib.closing(Redis.from_url(redis.uri)) as client:  # as if it had been killed within the write
            client.set(keys_of(view_name(SPEC), ["ann"])[0], "the killed one's", px=6_000)
        with serving(workspace.root, tmp_path / "second.log", *words) as server:
            third, degraded = first(server)
            assert third not in (item, second) and degraded == []
            assert server.metric("souk_event_files_behind") == 0.0
            assert server.metric('souk_event_log{state="events"}') == 2.0
            assert server.metric("souk_counted_engagements") == 2.0
            again = [click(server, "ann", item, name)[1]["duplicates"] for name in ("e1", "e2")]
            assert again == [1, 1] and first(server)[0] == third
            redis.kill()
            assert click(server, "ann", third, "e3")[1]["pending"] == 1
            redis.start()
            while server.metric("souk_event_files_behind"):  # the test's time limit ends it
                time.sleep(0.1)
            while server.metric("souk_counted_engagements") < 3:  # likewise: a second
                time.sleep(0.1)
            assert first(server)[0] not in (item, second, third)
            assert server.stop() == 0
    assert rows(workspace) == ["e1", "e2", "e3"]


def test_what_a_redis_forgot_is_taken_from_the_log_again(tmp_path):
    """As it ships it saves its data now and then: after a crash it is back with those of minutes ago."""
    workspace = write_workspace(tmp_path / "workspace")
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis", "--appendonly", "no") as redis:
        states = tmp_path / "user_state.parquet"
        pq.write_table(pa.Table.from_pylist([to_row(s, SPEC) for s in STATES]), states)
        publish(states, SPEC, workspace.feast, now(), redis.uri)
        Redis.from_url(redis.uri).save()
        words = ("--store-timeout-ms", "2000", "--user-cache-seconds", "0")
        with serving(workspace.root, tmp_path / "first.log", *words) as server:
            item, _ = first(server)
            assert click(server, "ann", item, "e1")[1]["pending"] == 0
            assert server.stop() == 0  # its file is closed and marked
        with serving(workspace.root, tmp_path / "second.log", *words) as server:
            second, _ = first(server)
            assert click(server, "ann", second, "e2")[1]["pending"] == 0
            third, degraded = first(server)
            assert len({item, second, third}) == 3 and degraded == []
            redis.kill()
            redis.start()
            while first(server) != (third, []):  # the test's time limit ends it
                time.sleep(0.1)
            redis.kill()
            assert server.stop() == 0
        redis.start()
        with serving(workspace.root, tmp_path / "third.log", *words) as server:
            assert first(server) == (third, []), "also where no server saw it"
    assert rows(workspace) == ["e1", "e2"]


def test_what_was_answered_for_is_back_in_a_redis_that_was_emptied(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    with redis_server(tmp_path) as redis:
        states = tmp_path / "user_state.parquet"
        pq.write_table(pa.Table.from_pylist([to_row(s, SPEC) for s in STATES]), states)
        publish(states, SPEC, workspace.feast, now(), redis.uri)
        words = ("--store-timeout-ms", "2000", "--user-cache-seconds", "0")
        with serving(workspace.root, tmp_path / "server.log", *words) as server:
            item, _ = first(server)
            assert click(server, "ann", item, "e1")[1]["pending"] == 0
            with Redis.from_url(redis.uri) as client:
                client.flushdb()
            while first(server)[1]:  # the test's time limit ends it
                time.sleep(0.1)
        assert [event.event_id for event in FeastStore(workspace.feast, SPEC).read(["ann"])[0].events] == ["e1"]
