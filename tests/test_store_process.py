"""Which process of a Redis holds the states: who started again, or was emptied, may know less than was written."""

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from souk.store import feast_store
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from tests.redis_server import redis_server
from tests.store_fixtures import SPEC, published_in


@pytest.fixture(scope="module")
def harmed(tmp_path_factory):
    """A Redis that tests harm and heal again, and the folder whose states it holds."""
    folder = tmp_path_factory.mktemp("harmed")
    with redis_server(folder) as server:
        yield server, published_in(folder, server.uri)


def test_a_redis_that_started_again_is_told_once_it_answers(harmed, monkeypatch, caplog):
    """Who wrote there may have to write again."""
    server, folder = harmed
    monkeypatch.setattr(feast_store, "PROCESS_SECONDS", 0.0)
    store = FeastStore(folder, SPEC, Access(timeout_ms=2000))
    names = [store.process(), store.process()]
    server.kill()
    with pytest.raises(StoreError):
        store.process()
    server.start()
    assert names == names[:1] * 2 and store.process() not in (names[0], "")
    assert "souk users publish" in caplog.text
    monkeypatch.setattr(feast_store, "PROCESS_SECONDS", 3600.0)
    name = [store.process(), store.process()][1]
    server.kill()
    server.start()
    assert store.process() == name != FeastStore(folder, SPEC).process(), "it is not asked all the time"


def test_a_redis_that_was_emptied_is_another_one(harmed, monkeypatch, caplog):
    """It may not know what it was told, and goes on as the same process."""
    server, folder = harmed
    monkeypatch.setattr(feast_store, "PROCESS_SECONDS", 0.0)
    stores = [FeastStore(folder, SPEC, Access(timeout_ms=2000)) for _ in range(2)]
    before = [store.process() for _ in range(2) for store in stores]
    assert len(set(before)) == 1 and not caplog.text
    with Redis.from_url(server.uri) as client:
        kept = {key: client.dump(key) for key in client.scan_iter()}
        client.flushdb()
        after = [store.process() for _ in range(2) for store in stores]
        assert len(set(after)) == 1 and after[0] != before[0]
        assert caplog.text.count("or was emptied: `souk users publish`") == 2
        client.config_set("maxmemory", 1)
        client.delete(feast_store.MARK)
        with pytest.raises(StoreError, match="maxmemory"):  # it passes, and is no other Redis then
            stores[0].process()
        client.config_set("maxmemory", 0)
        client.execute_command("ACL", "SETUSER", "default", "-set")
        client.delete(feast_store.MARK)
        assert stores[0].process() == before[0].split()[0], "who may not write it has the name of the process alone"
        client.execute_command("ACL", "SETUSER", "default", "+set")
        for key, value in kept.items():
            client.restore(key, 0, value, replace=True)


@pytest.mark.parametrize(
    "words", ["unsupported command 'INFO'", "unknown command 'INFO'", "this user has no permissions"]
)
def test_a_redis_that_may_not_tell_which_process_it_is_has_no_name(harmed, monkeypatch, words):
    _, folder = harmed

    def refused(self, section):
        raise ResponseError(words)

    monkeypatch.setattr(Redis, "info", refused)
    assert FeastStore(folder, SPEC, Access(timeout_ms=2000)).process() == ""


def test_a_redis_that_is_too_busy_to_tell_is_the_one_of_before(harmed, monkeypatch, caplog):
    _, folder = harmed
    monkeypatch.setattr(feast_store, "PROCESS_SECONDS", 0.0)
    store = FeastStore(folder, SPEC, Access(timeout_ms=2000))
    name = store.process()

    def busy(self, section):
        raise ResponseError("BUSY Redis is busy running a script")

    with monkeypatch.context() as asked:
        asked.setattr(Redis, "info", busy)
        with pytest.raises(StoreError, match="BUSY"):
            store.process()
    assert name and store.process() == name and not caplog.text


def test_a_process_is_named_of_a_redis_alone_that_tells_it(harmed, tmp_path):
    server, folder = harmed
    assert FeastStore(published_in(tmp_path), SPEC).process() == FeastStore(tmp_path / "nowhere", SPEC).process() == ""
    client = Redis.from_url(server.uri)
    client.acl_setuser("default", enabled=True, nopass=True, commands=["-info"])
    try:
        assert FeastStore(folder, SPEC).process() == "" and FeastStore(folder, SPEC).read(["ann"])[0].count == 3
    finally:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["+info"])
