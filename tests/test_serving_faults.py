"""Real faults under a server with callers who count: everyone who asks gets a whole slate, or is told to come back."""

import http.client
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.redis_server import redis_server
from tests.serving_fixtures import HIDDEN, IDS, NOW, write_workspace
from tests.serving_process import JSON, V1, serving

pytestmark = pytest.mark.slow
BODY = json.dumps({"instances": [{"user_id": "ann", "k": 8, "timestamp": NOW}]})
SHOWN = set(IDS) - HIDDEN
ANSWERS, SECONDS = 100, 60  # that a scene waits for, and the longest that it does


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("harmed")) as server:
        yield server


@pytest.fixture(scope="module")
def server(redis, tmp_path_factory):
    root = tmp_path_factory.mktemp("faults")
    words = ["--store-timeout-ms", "50", "--timeout-ms", "5000"]
    workspace = write_workspace(root / "workspace", redis.uri)
    with serving(workspace.root, root / "log", *words) as process:
        yield process


class Callers:
    """Threads that ask, each as soon as it has its answer.

    Args:
        server: whom they ask.
        count: how many they are.
        headers: of each call.
    """

    def __init__(self, server, count, headers=()):
        self._server, self._headers, self._stop = server, {**JSON, **dict(headers)}, threading.Event()
        self._lock, self.statuses, self.degraded, self.wrong = threading.Lock(), Counter(), Counter(), []
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)
        while not self._stop.is_set():
            connection.request("POST", V1, BODY, self._headers)
            answer = connection.getresponse()
            body = answer.read()
            with self._lock:
                self._note(answer, body)

    def _note(self, answer, body):
        self.statuses[answer.status] += 1
        if answer.status == 200:
            (slate,) = json.loads(body)["predictions"]
            items = [item["item_id"] for item in slate["items"]]
            self.degraded[tuple(slate["degraded"])] += 1
            if len(items) != 8 or len(set(items)) != 8 or not set(items) <= SHOWN:
                self.wrong.append(slate)
        elif answer.status != 429 or int(answer.headers["Retry-After"]) < 1:
            self.wrong.append((answer.status, body))

    def until(self, seen):
        """Lets them ask until `seen()`."""
        end = time.monotonic() + SECONDS
        while not seen():
            assert time.monotonic() < end, (self.statuses, self.degraded)
            time.sleep(0.005)

    def since(self):
        """Until ANSWERS more came; what they had to do without."""
        before = self.degraded.copy()
        self.until(lambda: (self.degraded - before).total() >= ANSWERS)
        return {reason for degraded in self.degraded - before for reason in degraded}

    @contextmanager
    def asking(self):
        """They ask meanwhile."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        assert not self.wrong and not set(self.statuses) - {200, 429}


def healed(callers):
    """Waits until answers are whole again."""
    before = callers.degraded[()]
    callers.until(lambda: callers.degraded[()] >= before + ANSWERS)


def test_a_redis_that_is_killed_and_comes_back(server, redis):
    with Callers(server, 4).asking() as callers:
        healed(callers)
        redis.kill()
        callers.until(lambda: callers.degraded[("features_unavailable",)])
        assert callers.since() == {"features_unavailable"}
        assert server.metric('souk_breaker{dependency="features",state="closed"}') == 0
        redis.start()
        healed(callers)
    assert set(callers.statuses) == {200}
    assert set(callers.degraded) == {(), ("features_unavailable",)}


def test_a_redis_that_hangs_and_comes_to(server, redis):
    with Callers(server, 4).asking() as callers:
        healed(callers)
        with redis.frozen():
            callers.until(lambda: callers.degraded[("features_unavailable",)])
            assert callers.since() == {"features_unavailable"}
        healed(callers)
    assert set(callers.statuses) == {200}
    assert server.metric('souk_breaker{dependency="features",state="closed"}') == 1


def test_more_than_can_be_answered_in_time_is_sent_away_and_it_is_over_when_it_is_over(server):
    with Callers(server, 48, {"x-souk-timeout-ms": "30"}).asking() as callers:
        callers.until(lambda: callers.statuses[429] > ANSWERS and callers.statuses[200] > ANSWERS)
    assert server.metric("souk_waiting_requests") == 0
    (slate,) = server.slates(json.loads(BODY)["instances"][0])
    assert slate["degraded"] == []
