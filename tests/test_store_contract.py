"""One suite for every store of user states, and what is Feast's own: publication, damage, the command line."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from souk.errors import SoukError
from souk.state_rows import to_row
from souk.store import values
from souk.store.definitions import user_state_view, view_name
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from souk.store.memory import MemoryStore
from souk.store.publish import publish
from tests.features_fixtures import spec_of
from tests.store_fixtures import CONFIG, NOW, SPEC, published_in, state, user_states

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return published_in(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def published_on_redis(tmp_path_factory, redis):
    return published_in(tmp_path_factory.mktemp("on_redis"), redis.uri), redis.uri


class StoreContract:
    """What every `OnlineStore` does. A subclass gives the fixture `store`, empty of the users below."""

    def test_what_was_written_is_read(self, store):
        states = [state("bob"), state("é\n", 40), state("nothing yet", 0)]
        store.write(states, NOW)
        assert repr(store.read([one.user_id for one in states])) == repr(states)

    def test_unknown_users_are_none_in_their_place(self, store):
        store.write([state("bob")], NOW)
        assert [found and found.user_id for found in store.read(["x", "bob", "", "bob"])] == [None, "bob", None, "bob"]

    def test_nobody_is_asked_for(self, store):
        assert store.read([]) == []
        store.write([], NOW)

    def test_the_last_state_counts(self, store):
        store.write([state("carl", 5)], NOW)
        for count, now in ((2, NOW + 1), (3, NOW + 1), (1, NOW)):  # at one time, or by a clock that was put back
            store.write([state("carl", count)], now)
            assert store.read(["carl"])[0].count == count

    def test_many_threads_read(self, store):
        store.write([state(f"user {n}", n % 7) for n in range(20)], NOW)
        wrong = []

        def read(number):
            for n in range(20):
                found = store.read([f"user {(n + number) % 20}"])[0]
                if found is None or found.count != (n + number) % 20 % 7:
                    wrong.append(found)

        threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore(SPEC)


class PublishedContract(StoreContract):
    """What stores behind Feast do as well. The fixture `place` gives a folder with `ann` and `silent`, and a uri."""

    @pytest.fixture
    def store(self, place):
        return FeastStore(place[0], SPEC)

    def test_publication_is_read_and_repeated(self, place, tmp_path):
        folder, uri = place
        again = user_states(tmp_path / "user_state.parquet", [state("ann", 4), state("new", 1)])
        before = FeastStore(folder, SPEC)
        assert before.read(["silent"])[0].count == 0
        for _ in range(2):
            assert publish(again, SPEC, folder, NOW + 5, uri) == 2
        for store in (before, FeastStore(folder, SPEC), FeastStore(folder, SPEC, Access(uri))):
            assert repr(store.read(["ann", "new"])) == repr([state("ann", 4), state("new", 1)])
            assert store.read(["silent"])[0].count == 0, "who is not published keeps what is there"

    def test_a_publication_that_clears_leaves_nobody_else(self, place, tmp_path):
        folder, uri = place
        other = spec_of(CONFIG.model_copy(update={"name": f"beside{bool(uri)}".lower()}))
        both = [state("ann", 4), state("gone")]
        publish(user_states(tmp_path / "both.parquet", both), SPEC, folder, NOW + 6, uri)
        publish(user_states(tmp_path / "other.parquet", [state("gone", 1, other)], other), other, folder, NOW, uri)
        ann = user_states(tmp_path / "ann.parquet", both[:1])
        assert publish(ann, SPEC, folder, NOW + 7, uri, clear=True) == 1
        assert repr(FeastStore(folder, SPEC).read(["gone", "ann"])) == repr([None, both[0]])
        assert FeastStore(folder, other).read(["gone"])[0].count == 1, "another specification's states stay"
        again = [state("ann"), state("silent", 0)]
        publish(user_states(tmp_path / "again.parquet", again), SPEC, folder, NOW + 8, uri)

    def test_a_written_state_is_stale_from_the_limit_on(self, place):
        FeastStore(place[0], SPEC).write([state("dora")], NOW)
        for limit, now, stale in ((60_000, 59_000, False), (60_000, 62_000, True), (0, 10**12, False)):
            reader = FeastStore(place[0], SPEC, Access(stale_ms=limit), lambda now=now: NOW + now)
            assert repr(reader.read(["dora"])) == repr([state("dora")])
            assert reader.read(["dora"])[0].stale == stale

    def test_a_row_that_is_no_state_is_its_users_alone(self, place, monkeypatch, caplog):
        """Nor does it end the store: what it has open stays so, since nothing but the row is wrong."""
        store, damaged = FeastStore(place[0], SPEC), []
        store.damaged = lambda: damaged.append(True)
        with monkeypatch.context() as patch:
            patch.setattr(values, "to_row", lambda one, spec: {**to_row(one, spec), "daily_count": [1, 2, 3, 4]})
            store.write([state("harmed")], NOW)
        store.write([state("bob")], NOW)
        opened = store._store
        for _ in range(3):
            assert [found and found.user_id for found in store.read(["bob", "harmed", "bob"])] == ["bob", None, "bob"]
        assert store._store is opened is not None and len(damaged) == 3
        assert caplog.text.count("is no state (ValueError)") == 1, "it is said once"
        store.write([state("harmed")], NOW + 1)
        assert store.read(["harmed"])[0].count == 3

    def test_a_published_state_is_as_old_as_its_publication(self, place, tmp_path):
        folder, uri = place
        publish(user_states(tmp_path / "user_state.parquet", [state("eve")]), SPEC, folder, NOW + 7000, uri)
        for now, stale in ((NOW + 60_000, False), (NOW + 70_000, True)):
            reader = FeastStore(folder, SPEC, Access(stale_ms=60_000), lambda now=now: now)
            assert reader.read(["eve"])[0].stale == stale

    def test_another_specification_has_a_view_of_its_own(self, place, tmp_path):
        folder, uri = place
        other = spec_of(CONFIG.model_copy(update={"name": f"other{bool(uri)}".lower()}))
        with pytest.raises(StoreError, match=view_name(other)):
            FeastStore(folder, other).read(["ann"])
        publish(user_states(tmp_path / "user_state.parquet", [state("ann", 1, other)], other), other, folder, NOW, uri)
        assert FeastStore(folder, other).read(["ann"])[0].count == 1
        assert FeastStore(folder, SPEC).read(["ann"])[0].count != 1


class TestFeastOnSqlite(PublishedContract):
    @pytest.fixture
    def place(self, published):
        return published, ""


class TestFeastOnRedis(PublishedContract):
    @pytest.fixture
    def place(self, published_on_redis):
        return published_on_redis


@pytest.mark.parametrize("name", ["registry.db", "online.db"])
@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_damaged_store_is_one_typed_error_and_heals(tmp_path, name, damage):
    folder, file = tmp_path / "feast", user_states(tmp_path / "user_state.parquet", [state("ann")])
    publish(file, SPEC, folder, NOW)
    store, path = FeastStore(folder, SPEC), folder / name
    good = path.read_bytes()
    path.unlink()
    if damage == "corrupt":
        path.write_bytes(b"not a database" * 500)
    with pytest.raises(StoreError, match="Feast to answer"):
        store.read(["ann"])
    assert isinstance(StoreError("a", "b"), SoukError)
    assert path.exists() == (damage == "corrupt"), "reading must not create a store"
    path.write_bytes(good)
    assert store.read(["ann"])[0].count == 3


def test_a_writer_locks_no_reader_out(published):
    store = FeastStore(published, SPEC)
    writer = sqlite3.connect(published / "online.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute(f"DELETE FROM souk_{view_name(SPEC)}")
    assert store.read(["ann"])[0] is not None
    writer.execute("ROLLBACK")
    writer.close()


@pytest.mark.slow
def test_a_killed_publication_leaves_the_states_readable(tmp_path):
    folder = tmp_path / "feast"
    old = [state(f"user {n}", 1) for n in range(300)]
    new = [state(f"user {n}", 2) for n in range(300)]
    publish(user_states(tmp_path / "old.parquet", old), SPEC, folder, NOW)
    fresh = user_states(tmp_path / "new.parquet", new)
    code = (
        "import os, sys, threading; from souk.store import publish as module; from souk.spec import read_spec\n"
        "step, count = sys.argv[2], 0\n"
        "def stop(frame, event, argument):\n"
        "    global count\n"
        "    count += event == 'call' and frame.f_code.co_name == step\n"
        "    if count == int(sys.argv[3]): os.write(1, b'here\\n'); sys.stdin.read()\n"
        f"spec = read_spec({str(folder / 'specs' / (SPEC.hash + '.json'))!r})\n"
        "threading.setprofile(stop); sys.setprofile(stop)\n"
        f"module.publish(sys.argv[1], spec, {str(folder)!r}, {NOW + 1})"
    )
    store = FeastStore(folder, SPEC)
    for step, count in (("apply", 1), ("extract_text_and_num", 900), ("apply_materialization", 1)):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(fresh), step, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert b"here" in process.stdout.readline(), step
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for reader in (store, FeastStore(folder, SPEC)):
            counts = {found.count for found in reader.read([one.user_id for one in old])}
            assert counts == ({2} if step == "apply_materialization" else {1}), step
    publish(fresh, SPEC, folder, NOW + 2)
    assert {found.count for found in store.read([one.user_id for one in new])} == {2}


@pytest.mark.slow
def test_the_feast_command_line_knows_the_same_views(published):
    environment = os.environ | {
        "FEAST_FS_YAML_FILE_PATH": str(published / "feature_store.yaml"),
        "PYTHONPATH": str(ROOT),
    }
    feast = Path(sys.executable).with_name("feast")
    before = sqlite3.connect(published / "online.db").execute(f"SELECT count(*) FROM souk_{view_name(SPEC)}").fetchone()
    for arguments, expected in ((["apply"], "souk"), (["feature-views", "list"], view_name(SPEC))):
        done = subprocess.run(
            [feast, "-c", ROOT / "feature_repo", *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    after = sqlite3.connect(published / "online.db").execute(f"SELECT count(*) FROM souk_{view_name(SPEC)}").fetchone()
    assert after == before
    assert FeastStore(published, SPEC).read(["ann"])[0] is not None


def test_the_repository_and_the_step_use_the_same_settings(published):
    ours, default = (
        yaml.safe_load(path.read_text())
        for path in (published / "feature_store.yaml", ROOT / "feature_repo" / "feature_store.yaml")
    )
    assert default["registry"].pop("path") == "../.souk/feast/registry.db"
    assert default["online_store"].pop("path") == "../.souk/feast/online.db"
    assert ours["registry"].pop("path") == str(published / "registry.db")
    assert ours["online_store"].pop("path") == str(published / "online.db")
    assert ours == default
    assert user_state_view(SPEC, published).name == view_name(SPEC)
