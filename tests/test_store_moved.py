"""User states that are published elsewhere: who reads and who writes them follows, and nobody else."""

import shutil

import pytest

from souk.publication import SPECS
from souk.store.definitions import SETTINGS, published_uri
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from souk.store.publish import publish
from tests.features_fixtures import spec_of
from tests.redis_server import redis_server
from tests.store_fixtures import CONFIG, NOW, SPEC, one_more, published_in, state, user_states

PATIENCE = Access(timeout_ms=1000)


def elsewhere(redis):
    """Another database of the same Redis."""
    return f"{redis.uri.rpartition('/')[0]}/7"


def test_who_reads_and_who_writes_follow_a_publication_elsewhere(redis, tmp_path):
    """A server that runs would read states without the events that it answers for."""
    folder = published_in(tmp_path, redis.uri)
    reader, writer, named = (
        FeastStore(folder, SPEC),
        FeastStore(folder, SPEC),
        FeastStore(folder, SPEC, Access(redis.uri)),
    )
    assert [store.read(["ann"])[0].count for store in (reader, writer, named)] == [3, 3, 3]
    for count, uri in ((5, elsewhere(redis)), (7, ""), (9, redis.uri)):
        publish(user_states(tmp_path / "user_state.parquet", [state("ann", count)]), SPEC, folder, NOW, uri)
        assert [store.read(["ann"])[0].count for store in (reader, writer)] == [count, count], uri
        writer.update(["ann"], one_more, NOW)
        assert reader.read(["ann"])[0].count == FeastStore(folder, SPEC).read(["ann"])[0].count == count + 1
    assert named.read(["ann"])[0].count == 10, "the one that was named, and no other"


def test_a_redis_that_is_gone_after_the_states_moved_is_asked_no_more(tmp_path):
    with redis_server(tmp_path) as server:
        folder = published_in(tmp_path, server.uri)
        store = FeastStore(folder, SPEC, PATIENCE)
        assert store.read(["ann"])[0].count == 3
        server.kill()
        with pytest.raises(StoreError, match=f":{server.port}/"):
            store.read(["ann"])
        published_in(tmp_path)
        assert store.read(["ann"])[0].count == 3


def test_a_sqlite_store_in_the_place_of_another_is_read_and_written(tmp_path):
    """SQLite goes on in a file that is gone: what it is told is lost with the process."""
    folder = published_in(tmp_path)
    reader, writer = FeastStore(folder, SPEC), FeastStore(folder, SPEC)
    assert [store.read(["ann"])[0].count for store in (reader, writer)] == [3, 3]
    shutil.rmtree(folder)
    with pytest.raises(StoreError, match="no file"):
        reader.read(["ann"])
    publish(user_states(tmp_path / "user_state.parquet", [state("ann", 5)]), SPEC, folder, NOW, "")
    writer.update(["ann"], one_more, NOW)
    assert [store.read(["ann"])[0].count for store in (reader, FeastStore(folder, SPEC))] == [6, 6]


@pytest.mark.parametrize("begins", ["sqlite", "redis"])
def test_an_update_ends_where_it_began(redis, tmp_path, begins):
    """The other place has locks of its own, and states of its own to be changed."""
    uris = ["", elsewhere(redis)] if begins == "sqlite" else [elsewhere(redis), ""]
    folder, store = published_in(tmp_path, uris[0]), FeastStore(tmp_path / "feast", SPEC)
    fresh = user_states(tmp_path / "fresh.parquet", [state("bob", 1), state("una", 7)])
    store.write([state("una", 1)], NOW)

    def change(states):
        publish(fresh, SPEC, folder, NOW + 1, uris[1])
        return one_more(states)

    store.update(["una"], change, NOW)
    assert store.read(["una"])[0].count == 7
    assert FeastStore(folder, SPEC, Access(uris[0])).read(["una"])[0].count == 2


def test_states_of_another_specification_stay_where_they_are(redis, tmp_path):
    """Also those that a version published which wrote one address for all."""
    folder = published_in(tmp_path, redis.uri)
    others = [spec_of(CONFIG.model_copy(update={"name": f"elsewhere{n}"})) for n in range(2)]
    for other in others:
        publish(user_states(tmp_path / "other.parquet", [state("ann", 1, other)], other), other, folder, NOW, redis.uri)
    (folder / SPECS / f"{others[0].of_states.hash}.uri").unlink()
    stores = [FeastStore(folder, spec) for spec in (SPEC, *others)]
    assert [store.read(["ann"])[0].count for store in stores] == [3, 1, 1]
    publish(user_states(tmp_path / "user_state.parquet", [state("ann", 5)]), SPEC, folder, NOW, elsewhere(redis))
    for asked in (stores, [FeastStore(folder, spec) for spec in (SPEC, *others)]):
        assert [store.read(["ann"])[0].count for store in asked] == [5, 1, 1]


def test_settings_that_cannot_be_read_move_nobody(redis, tmp_path):
    folder = published_in(tmp_path)
    publish(user_states(tmp_path / "user_state.parquet", [state("ann", 5)]), SPEC, folder, NOW, redis.uri)
    (folder / SPECS / f"{SPEC.of_states.hash}.uri").unlink()
    store, settings = FeastStore(folder, SPEC), (folder / SETTINGS).read_text()
    assert store.read(["ann"])[0].count == 5
    for damage in ("", "online_store: [", "x: 1"):
        (folder / SETTINGS).write_text(damage)
        assert store.read(["ann"])[0].count == 5
    (folder / SETTINGS).unlink()
    assert store.read(["ann"])[0].count == 5
    (folder / SETTINGS).write_text(settings)
    assert store.read(["ann"])[0].count == 5


def test_a_moved_workspace_is_read_where_it_was_published_last(redis, tmp_path):
    folder = published_in(tmp_path)
    assert published_uri(folder) == ""
    publish(user_states(tmp_path / "user_state.parquet", [state("ann", 5)]), SPEC, folder, NOW, redis.uri)
    assert published_uri(folder) == redis.uri
    assert FeastStore(folder, SPEC).read(["ann"])[0].count == 5
    assert FeastStore(folder, SPEC, Access("")).read(["ann"])[0].count == 3, "sqlite, where it is named"
