"""User states on a Redis that is killed, frozen or locked: a read ends, and the next one finds it healed."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import yaml
from feast.infra.online_stores.redis import RedisOnlineStore

from souk.cli import main
from souk.errors import SoukError
from souk.publication import REGISTRY
from souk.store import feast_store, user_locks
from souk.store.address import PASSWORD, address, online_store, with_password
from souk.store.definitions import SETTINGS
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from tests.redis_server import redis_server
from tests.store_fixtures import NOW, SPEC, published_in, state

SERVING = 200  # ms


def found(store, user="ann"):
    """The state; asked again where a busy machine took longer than the limit."""
    for _ in range(100):
        with contextlib.suppress(StoreError):
            return store.read([user])[0]
    return store.read([user])[0]


@pytest.fixture(scope="module")
def harmed(tmp_path_factory):
    """A Redis that tests harm and heal again, and the folder whose states it holds."""
    folder = tmp_path_factory.mktemp("harmed")
    with redis_server(folder) as server:
        yield server, published_in(folder, server.uri)


def test_a_killed_redis_is_one_error_and_heals_without_a_new_store(harmed):
    server, folder = harmed
    store = FeastStore(folder, SPEC, Access(timeout_ms=SERVING))
    assert found(store).count == 3
    server.kill()
    for _ in range(3):
        with pytest.raises(StoreError, match=f"redis://127.0.0.1:{server.port}/1.*refused"):
            store.read(["ann"])
    with pytest.raises(StoreError):
        store.write([state("bob")], NOW)
    server.start()
    assert found(store).count == 3, "and it kept its states"
    FeastStore(folder, SPEC).write([state("bob", 2)], NOW)
    assert found(store, "bob").count == 2


def test_a_frozen_redis_holds_no_read(harmed):
    server, folder = harmed
    connected, new = (FeastStore(folder, SPEC, Access(timeout_ms=SERVING)) for _ in range(2))
    assert found(connected).count == 3
    with server.frozen():
        for store in (connected, new, connected, new):
            with pytest.raises(StoreError, match="Timeout"):
                store.read(["ann"])
    for store in (connected, new):
        assert found(store).count == 3


STOPPED = """
import os, signal, sys
from dataclasses import replace
from redis.client import Pipeline
from souk.store import feast_store, user_locks
from souk.store.feast_store import FeastStore
from souk.store.interface import StoreError
from tests.store_fixtures import NOW, SPEC

user_locks.HELD_MS = 300
execute = Pipeline.execute

def stopped(pipe, *args, **more):
    if any(words[0] == "HSET" for words, _ in pipe.command_stack):  # it reads by one, too
        os.kill(os.getpid(), signal.SIGSTOP)
    return execute(pipe, *args, **more)

store = FeastStore(sys.argv[1], SPEC)
assert store.read(["ann"])[0].count == 3
change = lambda states: [replace(states[0], count=100)]
Pipeline.execute = stopped
try:
    store.update(["ann"], change, NOW)
except StoreError as error:
    print(error)
"""


def test_a_process_that_is_stopped_in_its_write_overwrites_nothing_when_it_goes_on(redis, tmp_path, monkeypatch):
    """What it was about to write lacks what another wrote after the end of its lock."""
    folder = published_in(tmp_path, redis.uri)
    writer = subprocess.Popen([sys.executable, "-c", STOPPED, folder], stdout=subprocess.PIPE, text=True)
    try:
        _, status = os.waitpid(writer.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        monkeypatch.setattr(user_locks, "WAIT_SECONDS", 60)
        other = FeastStore(folder, SPEC)
        other.update(["ann"], lambda states: [replace(states[0], count=4)], NOW)
        os.kill(writer.pid, signal.SIGCONT)
        said, _ = writer.communicate(timeout=60)
    finally:
        writer.kill()
    assert "took too long to change them alone" in said and other.read(["ann"])[0].count == 4


def test_after_a_failure_a_sqlite_file_is_opened_again(tmp_path, monkeypatch):
    """What is open may be what is broken."""
    opened, made = [], feast_store.FeatureStore
    monkeypatch.setattr(feast_store, "FeatureStore", lambda config: opened.append(config) or made(config=config))
    store = FeastStore(published_in(tmp_path), SPEC)

    def fails(*_):
        raise OSError("disk I/O error")

    assert [store.read(["ann"])[0].count for _ in range(2)] == [3, 3] and len(opened) == 1
    with monkeypatch.context() as broken:
        broken.setattr(store, "_got", fails)
        with pytest.raises(StoreError, match="disk"):
            store.read(["ann"])
    assert [store.read(["ann"])[0].count for _ in range(2)] == [3, 3] and len(opened) == 2


def test_threads_wait_beside_each_other(tmp_path):
    """Where they waited in line, the last of many would wait many times the limit."""
    folder = published_in(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)  # for a failure
        store = FeastStore(folder, SPEC, Access(f"redis://127.0.0.1:{silent.getsockname()[1]}", 60_000))

        def read():
            with contextlib.suppress(StoreError):
                store.read(["ann"])

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        asked = [silent.accept()[0] for _ in threads]  # the second asks while the first is not answered
    for connection in asked:
        connection.close()
    for thread in threads:
        thread.join()


def test_one_that_does_not_answer_is_asked_once(tmp_path):
    folder = published_in(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreError):
            FeastStore(folder, SPEC, Access(uri, SERVING)).read(["ann"])
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_disk_that_is_full_at_the_first_read_is_one_error_and_heals(tmp_path):
    """The file that sqlite maps beside its own can have no bytes; who has it mapped reads on."""
    folder = tmp_path / "later"  # without those that this process still has open
    shutil.copytree(published_in(tmp_path), folder, ignore=shutil.ignore_patterns("*-shm", "*-wal"))
    early, late = FeastStore(folder, SPEC), FeastStore(folder, SPEC)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(StoreError, match="disk I/O error"):
            late.read(["ann"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert early.read(["ann"])[0].count == 3
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert early.read(["ann"])[0].count == late.read(["ann"])[0].count == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_password_comes_from_the_environment_and_stays_there(tmp_path, monkeypatch):
    secret = "s3cret=0"
    with redis_server(tmp_path, "--requirepass", secret) as server:
        monkeypatch.setenv(PASSWORD, secret)
        folder = published_in(tmp_path, server.uri)
        assert FeastStore(folder, SPEC).read(["ann"])[0].count == 3
        assert all(secret.encode() not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
        store = yaml.safe_load((folder / SETTINGS).read_text())["online_store"]
        assert f"password=${{{PASSWORD}}}" in store["connection_string"]
        monkeypatch.delenv(PASSWORD)
        with pytest.raises(StoreError, match="Authentication"):
            FeastStore(folder, SPEC, Access(timeout_ms=SERVING)).read(["ann"])
        monkeypatch.setenv(PASSWORD, "a,b")
        with pytest.raises(SoukError, match="without a comma"):
            FeastStore(folder, SPEC).read(["ann"])


def test_publications_ask_again_and_requests_do_not():
    once, again = (online_store("redis://cache", "", 100, {}, more)["connection_string"] for more in (False, True))
    assert "retry=null" in once and "retry" not in again and "socket_timeout=0.1" in again


@pytest.mark.parametrize("password", ["s3cret=0", "12345678e9", "0.10", "true", "null", "'q'", '"q"', "é\\"])
def test_a_password_is_sent_as_it_is_whatever_it_looks_like(password):
    environment = {PASSWORD: password}
    given = with_password(online_store("redis://cache", "", 0, environment), environment)["connection_string"]
    assert RedisOnlineStore._parse_connection_string(given)[1]["password"] == password


@pytest.mark.parametrize("uri", ["", "redis://cache:6379/0", "redis://cache.shop:7000/3", "rediss://cache.shop:6379/0"])
def test_an_address_comes_back_from_the_settings(uri):
    assert address(online_store(uri, "online.db", SERVING, {PASSWORD: "x"})) == uri


@pytest.mark.parametrize("uri", ["redis://", "cache:6379", "redis://u:secret@cache", "redis://cache/x", "http://cache"])
def test_what_is_no_address_is_refused(uri):
    with pytest.raises(SoukError, match=PASSWORD) as error:
        online_store(uri, "online.db")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("uri", ["redis://:secret@cache", "redis://u:se@secret/x@cache", "redis:u secret@cache"])
def test_a_password_in_an_address_ends_the_server_at_once_and_is_shown_nowhere(uri, tmp_path, capsys, caplog):
    assert main(["serve", "--workspace", str(tmp_path), "--redis-uri", uri]) == 2
    told = capsys.readouterr()
    assert "@cache'" in told.err and PASSWORD in told.err and "secret" not in told.out + told.err + caplog.text
    (tmp_path / REGISTRY).touch()
    with pytest.raises(StoreError, match="@cache") as error:  # and so wherever it comes from
        FeastStore(tmp_path, SPEC, Access(uri)).read(["ann"])
    assert "secret" not in str(error.value)
