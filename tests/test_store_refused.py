"""A Redis that refuses, or does not answer: who asks is told in one error, which quotes no user's id."""

import threading

import pytest
import yaml
from redis import Redis

from souk.cli import main
from souk.config import load_config
from souk.publication import BEGUN, publishing
from souk.steps.build_features import build_features
from souk.store import publish
from souk.store.address import PASSWORD
from souk.store.feast_store import Access, FeastStore
from souk.store.interface import StoreError
from souk.store.redis_errors import said
from tests.ports import free_port
from tests.redis_server import redis_server
from tests.store_fixtures import SPEC, published_in
from tests.test_cli_users import serving

SECRET = "alice\nof pipeline caused error: alice, with args beginning with"


def admin(server):
    return Redis(port=server.port)


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda redis: redis.execute_command("ACL", "SETUSER", "default", "-hmget"), "no permissions"),
        (lambda redis: redis.config_set("requirepass", "s" * 20), ""),
    ],
    ids=["a right is missing", "a password is missing"],
)
def test_no_id_of_a_user_is_in_an_error(tmp_path, harm, word):
    with redis_server(tmp_path) as server:
        folder = published_in(tmp_path, server.uri)
        with admin(server) as redis:
            harm(redis)
        with pytest.raises(StoreError) as told:
            FeastStore(folder, SPEC, Access(timeout_ms=2000)).read([SECRET])
    assert "alice" not in str(told.value) and "HMGET" not in str(told.value)
    assert word in str(told.value) and PASSWORD in str(told.value)


def test_what_a_redis_quotes_of_a_command_that_it_does_not_know_is_cut():
    quoted = ValueError("unknown command 'EVAL', with args beginning with: 'DROP' '1' 'souk:lock:user_state:alice'")
    assert said(quoted) == "an unknown command" and said(ValueError()) == ""


def refused(workspace, uri, capsys, *more):
    assert main(["users", "publish", "--workspace", str(workspace.root), "--redis-uri", uri, *more]) == 2
    told = capsys.readouterr().err
    assert told.startswith("souk users: Expected a Redis that takes user states at redis://127.0.0.1:")
    return told


def test_a_publication_to_a_redis_that_refuses_is_one_error(tmp_path, capsys):
    workspace = serving(tmp_path)
    assert "ConnectionError" in refused(workspace, f"redis://127.0.0.1:{free_port()}/0", capsys)
    assert not (workspace.feast / BEGUN).exists(), "nothing was begun"
    with redis_server(tmp_path) as server, admin(server) as redis:
        assert "DB index is out of range" in refused(workspace, f"redis://127.0.0.1:{server.port}/99", capsys)
        redis.config_set("maxmemory", 1)
        assert "maxmemory" in refused(workspace, server.uri, capsys)
        redis.config_set("maxmemory", 0)
        assert not (workspace.feast / BEGUN).exists() and not Redis.from_url(server.uri).dbsize()
        assert main(["users", "publish", "--workspace", str(tmp_path), "--redis-uri", server.uri]) == 0
        states = Redis.from_url(server.uri).dbsize()
        redis.execute_command("ACL", "SETUSER", "default", "-hset")
        assert "no permissions" in refused(workspace, server.uri, capsys, "--clear")
        assert Redis.from_url(server.uri).dbsize() == states == 1, "nobody is gone"
        redis.execute_command("ACL", "SETUSER", "default", "+hset")
        redis.config_set("requirepass", "s" * 20)
        assert PASSWORD in refused(workspace, server.uri, capsys)


def test_a_publication_to_a_redis_that_hangs_ends_and_holds_nobody_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(publish, "PATIENCE_MS", 200)
    workspace = serving(tmp_path)
    with redis_server(tmp_path) as server, server.frozen(), monkeypatch.context() as alone:
        alone.setattr(publish, "publishing", lambda *_, **__: pytest.fail("it asks before it holds others up"))
        assert "Timeout" in refused(workspace, server.uri, capsys)


def test_a_run_for_a_redis_that_is_away_ends_before_its_first_step(tmp_path, capsys):
    uri = f"redis://127.0.0.1:{free_port()}/0"
    lines = "user_id,item_id,event_type,timestamp\n", "u,i,click,1700000000000\n"
    (tmp_path / "events.csv").write_text("".join(lines))
    config = {"name": "away", "data": {"events": {"path": "events.csv"}}, "online_store": {"uri": uri}}
    config["objectives"] = {"engaged": {"events": ["click"]}, "satisfied": {"events": ["click"], "min_value": 4}}
    (tmp_path / "away.yaml").write_text(yaml.safe_dump(config))
    place = tmp_path / "w"
    assert main(["run", "--config", str(tmp_path / "away.yaml"), "--workspace", str(place)]) == 2
    told = capsys.readouterr()
    assert f"souk run: Expected a Redis that takes user states at {uri}. Received: ConnectionError" in told.err
    assert "▸" not in told.out and not [*(place / "runs").glob("*.log")]
    settings = load_config(tmp_path / "away.yaml").for_step("build_features")
    with pytest.raises(StoreError, match="ConnectionError"):  # on a cluster, where the step is the first to ask
        build_features(settings, str(place), "FnApiRunner", "[]", str(tmp_path / "no tables"), str(tmp_path / "f"))


def test_who_waits_for_another_publication_is_told(tmp_path):
    told, ended = [], threading.Event()

    def wait():
        with publishing(tmp_path, tell=told.append):
            ended.set()

    with publishing(tmp_path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while not told:
            threading.Event().wait(0.01)
        assert not ended.is_set() and told == [f"waiting for another publication into {tmp_path}"]
    waiting.join()
    with publishing(tmp_path, tell=told.append):
        assert len(told) == 1
