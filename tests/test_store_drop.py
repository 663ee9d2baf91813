"""User states that nothing reads are deleted: theirs, all of theirs, and nobody else's."""

import contextlib
import sqlite3
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from redis import Redis

from souk.publication import SPECS, publishing
from souk.state_rows import state_columns, to_row
from souk.store import definitions, forget
from souk.store import drop as module
from souk.store import publish as publishing_module
from souk.store.definitions import repo_config, view_name
from souk.store.drop import BUSY, LATELY, drop, holding
from souk.store.feast_store import FeastStore
from souk.store.publish import publish
from tests.redis_server import redis_server
from tests.store_fixtures import NOW, SPEC, published_in, state, user_states

OTHER = replace(SPEC, build=SPEC.build.model_copy(update={"history_length": 16}))
HASH = OTHER.of_states.hash
SINCE = NOW + 1000
GONE = {HASH: ""}


def publish_other(folder, uri="", spec=OTHER, users=("ann", "bob", "cid")):
    file = user_states(folder.parent / "other.parquet", [state(user, 2, spec) for user in users], spec)
    publish(file, spec, folder, NOW, uri)


def of_other():
    return [HASH]


def views(folder):
    return {view.name for view in FeatureStore(config=repo_config(folder)).list_feature_views()}


def files(folder):
    return {path.name for path in folder.rglob("*") if HASH in path.name}


def counts(folder, spec=SPEC):
    return [one and one.count for one in FeastStore(folder, spec).read(["ann", "silent", "bob"])]


class DropContract:
    """A subclass gives the fixtures `uri` and `content`, which tells all that is stored online."""

    @pytest.fixture(autouse=True)
    def few_at_once(self, monkeypatch):
        monkeypatch.setattr(forget, "USERS", 1)
        monkeypatch.setattr(forget, "ROWS", 7)

    @pytest.fixture
    def published(self, tmp_path, uri, content):
        """Two views, and what there was online before the second."""
        folder = published_in(tmp_path, uri)
        before = content(folder)
        publish_other(folder, uri)
        assert counts(folder, OTHER) == [2, None, 2] and content(folder) != before
        return folder, before

    def test_nothing_is_left_of_a_view_and_all_of_the_others(self, published, uri, content):
        folder, before = published
        assert holding(folder, HASH).startswith("3 users in ")
        assert drop(folder, of_other, SINCE) == GONE
        assert views(folder) == {view_name(SPEC)} and files(folder) == set()
        assert content(folder) == before and counts(folder) == [3, 0, None]
        publish_other(folder, uri)
        assert counts(folder, OTHER) == [2, None, 2], "who goes back to it publishes anew"

    @pytest.mark.parametrize(("user", "republished"), [("ann", False), ("dan", True)])
    def test_columns_of_a_version_before_go_too(self, tmp_path, uri, content, monkeypatch, user, republished):
        """Where it was published anew they are in no file; of a user with other states an empty field stays."""
        folder = published_in(tmp_path, uri)
        before, rows = content(folder), tmp_path / "states.parquet"
        pq.write_table(pa.Table.from_pylist([to_row(state(user, 2, OTHER), OTHER) | {"event_context": ["x"]}]), rows)
        with monkeypatch.context() as patched:
            for each in (definitions, publishing_module):
                own = lambda spec: state_columns(spec) | {"event_context": "list<string>"}  # noqa: E731
                patched.setattr(each, "state_columns", own)
            publish(rows, OTHER, folder, NOW, uri)
        if republished:
            publish(rows, OTHER, folder, NOW, uri)
        assert drop(folder, of_other, SINCE) == GONE
        assert content(folder) == before

    def test_what_was_written_lately_stays(self, published, content):
        folder, _ = published
        FeastStore(folder, OTHER).write([state("cid", 9, OTHER)], SINCE)
        before = content(folder)
        assert drop(folder, of_other, SINCE) == {HASH: LATELY}
        assert content(folder) == before and view_name(OTHER) in views(folder)
        assert drop(folder, of_other, SINCE + 1000) == GONE

    def test_while_somebody_publishes_nothing_goes(self, published, content):
        folder, _ = published
        before = content(folder)
        with publishing(folder):
            assert drop(folder, of_other, SINCE) == {HASH: BUSY}
        assert content(folder) == before and view_name(OTHER) in views(folder)

    def test_what_a_deploy_reads_by_then_stays(self, published, content):
        """It found the states before the view was out of the registry, and said before that it needs its release."""
        folder, _ = published
        before, answers = content(folder), iter([[HASH], []])
        told = drop(folder, lambda: next(answers), SINCE)
        assert "by now" in told[HASH]
        assert content(folder) == before and counts(folder, OTHER) == [2, None, 2]

    def test_a_deploy_that_looks_while_they_go_finds_none(self, published, monkeypatch):
        folder, _ = published

        def looked(*arguments):
            with pytest.raises(Exception, match=view_name(OTHER)):
                FeastStore(folder, OTHER).read(["ann"])

        monkeypatch.setattr(module, "forget", looked)
        assert drop(folder, of_other, SINCE) == GONE

    @pytest.mark.parametrize("place", ["before", "between", "after"])
    def test_killed_it_leaves_what_others_read_and_the_next_one_completes_it(
        self, published, content, monkeypatch, place
    ):
        folder, before = published
        with monkeypatch.context() as patched:
            if place == "before":
                patched.setattr(module, "forget", killed)
            elif place == "between":
                patched.setattr(module, "written", lambda *arguments: set())
                patched.setattr(forget, "seldom", lambda: killed)  # after the first few of them
            else:
                patched.setattr(module, "_files", killed)
            with pytest.raises(KeyboardInterrupt):
                drop(folder, of_other, SINCE)
        assert counts(folder) == [3, 0, None] and (folder / SPECS / f"{HASH}.json").exists()
        assert drop(folder, of_other, SINCE) == GONE
        assert content(folder) == before and counts(folder) == [3, 0, None] and files(folder) == set()

    def test_long_work_is_told(self, published, monkeypatch):
        folder, _ = published
        monkeypatch.setattr("souk.progress.WORD_SECONDS", -1.0)
        told = []
        drop(folder, of_other, SINCE, told.append)
        assert any("deleted" in line and ("users" in line or "rows" in line) for line in told)

    def test_what_servers_write_meanwhile_stays(self, published, monkeypatch):
        """Of a user, too, of whom there was nothing but what goes."""
        folder, _ = published
        monkeypatch.setattr("souk.progress.WORD_SECONDS", -1.0)
        server = FeastStore(folder, SPEC)
        drop(folder, of_other, SINCE, lambda line: server.write([state("bob", 5)], NOW))
        assert counts(folder) == [3, 0, 5]


def killed(*arguments):
    raise KeyboardInterrupt


class TestSqlite(DropContract):
    @pytest.fixture
    def uri(self):
        return ""

    @pytest.fixture
    def content(self):
        def rows(folder):
            with contextlib.closing(sqlite3.connect(folder / "online.db")) as connection:
                names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in names}

        return rows


class TestRedis(DropContract):
    @pytest.fixture
    def uri(self, redis):
        uri = f"{redis.uri.rpartition('/')[0]}/5"
        with contextlib.closing(Redis.from_url(uri)) as client:
            client.flushdb()
        return uri

    @pytest.fixture
    def content(self, uri):
        def hashes(folder):
            with contextlib.closing(Redis.from_url(uri)) as client:
                return {key: client.hgetall(key) for key in client.scan_iter()}

        return hashes

    def test_more_fields_than_lua_unpacks_go_as_well(self, published, content, monkeypatch):
        folder, before = published
        columns, further = module._columns, {f"column{n}" for n in range(9_000)}
        monkeypatch.setattr(module, "_columns", lambda *given: columns(*given) | further)
        assert drop(folder, of_other, SINCE) == GONE
        assert content(folder) == before

    def test_a_key_of_another_kind_stays(self, published, uri):
        folder, _ = published
        with contextlib.closing(Redis.from_url(uri)) as client:
            client.set("souk:lock:x", "1")
            assert drop(folder, of_other, SINCE) == GONE
            assert client.get("souk:lock:x") == b"1"


def test_a_redis_that_is_down_keeps_its_states_and_no_others(tmp_path):
    third = replace(SPEC, build=SPEC.build.model_copy(update={"history_length": 24}))
    with redis_server(tmp_path) as server:
        folder = published_in(tmp_path)
        publish_other(folder, server.uri)
        publish_other(folder, "", third)
        server.kill()
        told = drop(folder, lambda: [HASH, third.of_states.hash], SINCE)
        assert told[third.of_states.hash] == "" and told[HASH].startswith(f"{server.uri}: ConnectionError")
        assert files(folder) != set() and view_name(OTHER) in views(folder) and counts(folder) == [3, 0, None]
        server.start()
        assert drop(folder, of_other, SINCE) == GONE
        with contextlib.closing(Redis.from_url(server.uri)) as client:
            assert client.dbsize() == 0


def test_where_nothing_says_where_states_are_they_stay(tmp_path):
    folder = published_in(tmp_path)
    publish_other(folder)
    (folder / "feature_store.yaml").unlink()
    (folder / SPECS / f"{HASH}.uri").unlink()
    assert "nothing says where" in drop(folder, of_other, SINCE)[HASH]
    assert view_name(OTHER) in views(folder)
