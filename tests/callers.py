"""Callers who count: what everyone who asks gets while something is wrong with the server's surroundings."""

import http.client
import json
import threading
import time
from collections import Counter
from contextlib import contextmanager

from tests.serving_fixtures import HIDDEN, IDS, NOW
from tests.serving_process import JSON, V1

BODY = json.dumps({"instances": [{"user_id": "ann", "k": 8, "timestamp": NOW}]})
SHOWN = set(IDS) - HIDDEN
ANSWERS, SECONDS = 100, 240  # that a scene waits for, and the longest that it does: a killed Milvus takes a minute


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
        self.releases, self.slates = Counter(), set()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._server.http, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request("POST", V1, BODY, self._headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(error)
                return
            with self._lock:
                self._note(answer, body)

    def _note(self, answer, body):
        self.statuses[answer.status] += 1
        if answer.status == 200:
            (slate,) = json.loads(body)["predictions"]
            items = [item["item_id"] for item in slate["items"]]
            self.degraded[tuple(slate["degraded"])] += 1
            self.releases[slate["release"]] += 1
            if set(slate["degraded"]) <= {"index_unavailable"}:  # on a busy machine more is, for a moment
                self.slates.add(tuple(items))
            if answer.headers["x-souk-release"] != slate["release"]:
                self.wrong.append(slate)
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
