"""Real faults under a server with callers who count: everyone who asks gets a whole slate, or is told to come back."""

import json

import pytest

from tests.callers import ANSWERS, BODY, Callers, healed
from tests.redis_server import redis_server
from tests.serving_fixtures import write_workspace
from tests.serving_process import PATIENT, serving
from tests.slow_proxy import slow_proxy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("harmed")) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(redis):
    with slow_proxy(redis.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server(redis, proxy, tmp_path_factory):
    root = tmp_path_factory.mktemp("faults")
    way = f"redis://127.0.0.1:{proxy.port}/1"
    words = ["--store-timeout-ms", "50", "--timeout-ms", "20000", "--redis-uri", way]
    workspace = write_workspace(root / "workspace", redis.uri)
    with serving(workspace.root, root / "log", *words, program=PATIENT) as process:
        yield process


def well(server):
    """What Kubernetes asks: a server without its store is neither killed nor left out, for it answers."""
    return {server.call(f"/v2/health/{of}", method="GET")[0] for of in ("live", "ready")} == {200}


def test_a_redis_that_is_killed_and_comes_back(server, redis):
    with Callers(server, 4).asking() as callers:
        healed(callers)
        redis.kill()
        callers.until(lambda: callers.degraded[("features_unavailable",)])
        assert callers.since() == {"features_unavailable"}
        assert server.metric('souk_breaker{dependency="features",release="",state="closed"}') == 0
        assert well(server)
        redis.start()
        healed(callers)
    assert set(callers.statuses) == {200}
    assert set(callers.degraded) == {(), ("features_unavailable",)}


def test_a_redis_that_hangs_and_comes_to(server, redis):
    with Callers(server, 4).asking() as callers:
        healed(callers)
        with redis.frozen():
            callers.until(lambda: callers.degraded[("features_unavailable",)])
            assert callers.since() == {"features_unavailable"} and well(server)
        healed(callers)
    assert set(callers.statuses) == {200}
    assert server.metric('souk_breaker{dependency="features",release="",state="closed"}') == 1


def test_a_redis_that_is_slow_and_is_quick_again(server, proxy):
    """Each answer takes 200 ms on the way: nobody waits for more than a quarter of that."""
    with Callers(server, 4).asking() as callers:
        healed(callers)
        proxy.delay = 0.2
        try:
            callers.until(lambda: callers.degraded[("features_unavailable",)])
            assert callers.since() == {"features_unavailable"}
        finally:
            proxy.delay = 0.0
        healed(callers)
    assert set(callers.statuses) == {200}
    assert server.metric('souk_breaker{dependency="features",release="",state="closed"}') == 1


def test_more_than_can_be_answered_in_time_is_sent_away_and_it_is_over_when_it_is_over(server):
    with Callers(server, 48, {"x-souk-timeout-ms": "30"}).asking() as callers:
        callers.until(lambda: callers.statuses[429] > ANSWERS and callers.statuses[200] > ANSWERS)
    assert server.metric("souk_waiting_requests") == 0
    (slate,) = server.slates(json.loads(BODY)["instances"][0])
    assert slate["degraded"] == []
