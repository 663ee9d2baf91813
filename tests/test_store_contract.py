"""One suite for every store of user states."""

import contextlib
import threading
import time

import pytest
from redis import Redis

from souk.publication import stopped
from souk.state_rows import to_row
from souk.store import publish as module
from souk.store import user_locks, values
from souk.store.definitions import publication, view_name
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from souk.store.memory import MemoryStore
from souk.store.publish import publish
from tests.features_fixtures import spec_of
from tests.store_contract import StoreContract
from tests.store_fixtures import CONFIG, NOW, SPEC, one_more, published_in, state, user_states


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return published_in(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def published_on_redis(tmp_path_factory, redis):
    return published_in(tmp_path_factory.mktemp("on_redis"), redis.uri), redis.uri


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore(SPEC)


class PublishedContract(StoreContract):
    """What stores behind Feast do as well. The fixture `place` gives a folder with `ann` and `silent`, and a uri."""

    @pytest.fixture
    def store(self, place):
        return FeastStore(place[0], SPEC)

    @pytest.fixture
    def beside(self, place):
        return FeastStore(place[0], SPEC)

    def test_an_update_undoes_no_publication_that_comes_in_between(self, store, beside, place, tmp_path):
        """A server has read a state, and writes it only after the publication could have."""
        folder, uri = place
        store.write([state("una", 1)], NOW)
        fresh = user_states(tmp_path / "user_state.parquet", [state(f"u{n}") for n in range(3)] + [state("una", 4)])
        published = threading.Thread(target=publish, args=(fresh, SPEC, folder, NOW + 9, uri))

        def change(states):
            published.start()
            published.join(2)
            return one_more(states)

        store.update(["una"], change, NOW)
        published.join()
        assert [one.count for one in beside.read(["una", "u2"])] == [4, 3]
        store.update(["una"], one_more, NOW)
        assert beside.read(["una"])[0].count == 5

    def test_publications_and_updates_at_the_same_time(self, store, place, tmp_path, monkeypatch):
        """Neither side fails or stops, nobody else's state changes, and what was published last is what counts."""
        monkeypatch.setattr(module, "TOGETHER", 2)
        folder, uri = place
        users = [f"both{n}" for n in range(6)]
        fresh = user_states(tmp_path / "user_state.parquet", [state(user, 0) for user in users])
        publish(fresh, SPEC, folder, NOW, uri)
        ended, done, failed = threading.Event(), [], []

        def update():
            while not ended.is_set():
                try:
                    store.update([users[0], users[3]], one_more, NOW)
                    done.append(1)
                except Exception as error:
                    failed.append(error)

        thread = threading.Thread(target=update)
        thread.start()
        for _ in range(3):
            publish(fresh, SPEC, folder, NOW, uri)
        ended.set()
        thread.join()
        assert done and not failed
        counts = [one.count for one in store.read(users)]
        assert max(counts[0], counts[3]) <= len(done) and counts[1:3] == counts[4:] == [0, 0]
        publish(fresh, SPEC, folder, NOW, uri)
        store.update([users[0], users[3]], one_more, NOW)
        assert [one.count for one in store.read(users)] == [1, 0, 0, 1, 0, 0]

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

    def test_a_publication_that_is_killed_once_it_cleared_is_told(self, place, tmp_path, monkeypatch):
        folder, uri = place
        ann = user_states(tmp_path / "ann.parquet", [state("ann", 4)])
        publish(ann, SPEC, folder, NOW + 6, uri)
        before = publication(folder, SPEC)
        apply = module.FeatureStore.apply

        def until_cleared(self, *given, **more):
            apply(self, *given, **more)
            if "objects_to_delete" in more:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(module.FeatureStore, "apply", until_cleared)
            with pytest.raises(KeyboardInterrupt):
                publish(ann, SPEC, folder, NOW + 7, uri, clear=True)
        assert publication(folder, SPEC) != before and stopped(folder)
        assert publish(ann, SPEC, folder, NOW + 8, uri) == 1 and not stopped(folder)

    def test_a_written_state_is_stale_from_the_limit_on(self, place):
        FeastStore(place[0], SPEC).write([state("dora")], NOW)
        for limit, now, stale in ((60_000, 59_000, False), (60_000, 62_000, True), (0, 10**12, False)):
            reader = FeastStore(place[0], SPEC, Access(stale_ms=limit), lambda now=now: NOW + now)
            ages = []
            reader.aged = ages.append
            assert repr(reader.read(["dora"])) == repr([state("dora")])
            assert reader.read(["dora"])[0].stale == stale
            assert ages == pytest.approx([now / 1000] * 2, abs=1.001), "seconds; a store may keep whole ones"

    def test_the_last_of_many_reads_asks_for_what_the_first_one_did(self, place):
        """Feast's Redis store adds to the list of what it is asked for."""
        store, asked = FeastStore(place[0], SPEC), []
        for _ in range(3):
            store.read(["ann"])
            asked.append([*store._features])
        assert asked[0] == asked[1] == asked[2] and len(set(asked[0])) == len(asked[0])

    def test_servers_see_that_a_publication_stopped_midway(self, place, tmp_path, monkeypatch):
        """They take their events again: what it wrote until then may lack them."""
        folder, uri = place
        fresh = user_states(tmp_path / "user_state.parquet", [state(f"mid{n}") for n in range(4)])
        publish(fresh, SPEC, folder, NOW, uri)
        names = [publication(folder, SPEC)]
        monkeypatch.setattr(module, "TOGETHER", 2)

        def at_work(rows, *given):
            names.append(publication(folder, SPEC))
            return row_of(rows, *given)

        row_of = module.row_of
        with monkeypatch.context() as patch:
            patch.setattr(module, "row_of", at_work)
            patch.setattr(module, "seldom", lambda: lambda: True)

            def stop(line):
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                publish(fresh, SPEC, folder, NOW + 1, uri, tell=stop)
        assert names == [names[0]] * 3, "while it is at work it may still end"
        names.append(publication(folder, SPEC))
        assert publication(folder, SPEC) == names[-1] != names[0]
        publish(fresh, SPEC, folder, NOW + 2, uri)
        assert publication(folder, SPEC) not in names

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

    @pytest.fixture
    def locked(self, store, redis):
        """Ann's lock, as a server leaves it that is killed in an update."""
        with contextlib.closing(Redis.from_url(redis.uri)) as client:
            key = f"souk:lock:{view_name(SPEC)}:ann"
            yield lambda ms: client.set(key, "another", px=ms)
            client.delete(key)

    def test_who_was_killed_in_an_update_holds_the_next_one_up_for_a_while(self, store, locked, monkeypatch):
        store.write([state("ann", 0), state("bob", 0)], NOW)
        locked(60_000)
        monkeypatch.setattr(user_locks, "WAIT_SECONDS", 0.05)
        with pytest.raises(StoreError, match="change states of users alone"):
            store.update(["bob", "ann"], one_more, NOW)
        store.update(["bob"], one_more, NOW)  # who waits for one holds no other
        locked(200)
        monkeypatch.setattr(user_locks, "WAIT_SECONDS", 60)
        store.update(["bob", "ann"], one_more, NOW)
        assert [one.count for one in store.read(["ann", "bob"])] == [1, 2]

    def test_a_publication_waits_for_who_was_killed_in_an_update(self, locked, place, tmp_path, monkeypatch):
        folder, uri = place
        fresh = user_states(tmp_path / "user_state.parquet", [state("ann", 7)])
        locked(300)
        publish(fresh, SPEC, folder, NOW + 10, uri)
        assert FeastStore(folder, SPEC).read(["ann"])[0].count == 7
        locked(60_000)
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
        with pytest.raises(StoreError, match="change states of users alone"):
            publish(fresh, SPEC, folder, NOW + 11, uri)

    def test_a_publication_that_took_too_long_to_be_alone_writes_again(self, place, tmp_path, monkeypatch):
        folder, uri = place
        fresh = user_states(tmp_path / "user_state.parquet", [state("ann", 8)])
        lives = iter([1, 60_000, 60_000])
        monkeypatch.setattr(user_locks, "HELD_MS", 1)
        guarding = user_locks.Held.guarding

        def late(self, online, client):
            time.sleep(0.05)
            monkeypatch.setattr(user_locks, "HELD_MS", next(lives))
            return guarding(self, online, client)

        monkeypatch.setattr(user_locks.Held, "guarding", late)
        publish(fresh, SPEC, folder, NOW + 12, uri)
        assert next(lives, None) is None and FeastStore(folder, SPEC).read(["ann"])[0].count == 8

    def test_who_took_too_long_to_be_alone_writes_nothing(self, store, beside, monkeypatch):
        store.write([state("ann", 0)], NOW)
        monkeypatch.setattr(user_locks, "HELD_MS", 20)

        def slow(states):
            monkeypatch.setattr(user_locks, "HELD_MS", 60_000)
            monkeypatch.setattr(user_locks, "WAIT_SECONDS", 60)
            beside.update(["ann"], one_more, NOW)  # as soon as the first one's lock is over
            return one_more(states)

        with pytest.raises(StoreError, match="took too long"):
            store.update(["ann"], slow, NOW)
        assert store.read(["ann"])[0].count == 1
