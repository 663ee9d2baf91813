"""A collection whose index Milvus builds: waited for while it comes on, and no longer."""

from types import SimpleNamespace

import numpy as np
import pytest
from pymilvus import MilvusClient

from souk.index import collections
from souk.index.collections import STALLED_SECONDS, fill
from souk.index.interface import IndexUnavailable


class Server:
    """Says how many rows wait for the index, each time another number; the last one from then on."""

    prepare_index_params = staticmethod(MilvusClient.prepare_index_params)

    def __init__(self, *pending, state="InProgress"):
        self.pending, self.state, self.done = list(pending), state, []

    def describe_index(self, collection, field):
        left = self.pending.pop(0) if len(self.pending) > 1 else self.pending[0]
        return {"pending_index_rows": left, "state": self.state if left else "Finished"}

    def create_index(self, collection, index, sync=True):
        assert not sync, "pymilvus would wait here without an end"

    def __getattr__(self, name):
        return lambda *given, **named: self.done.append(name)


@pytest.fixture
def slept(monkeypatch):
    """The sleeps that were taken, each of them a third of the longest that nothing may come on."""
    taken = []
    clock = SimpleNamespace(monotonic=lambda: len(taken) * STALLED_SECONDS / 3, sleep=taken.append)
    monkeypatch.setattr(collections, "time", clock)
    return taken


def filled(server, said=lambda text: None):
    fill(server, "items", np.ones((4, 2), np.float32), np.ones(4, bool), said, "HNSW")


def test_an_index_that_comes_on_is_waited_for_however_long_it_takes(slept):
    server, said = Server(4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 0), []
    filled(server, said.append)
    assert len(slept) == 12 and server.done[-1] == "load_collection"
    assert said[1:] == [f"{left} of 4 vectors wait for the index of items" for left in (4, 3, 2, 1)]


def test_an_index_that_does_not_is_given_up(slept):
    server = Server(4, 3)
    with pytest.raises(IndexUnavailable, match=r"items to be indexed\. Received: InProgress, and 3 rows wait"):
        filled(server)
    assert len(slept) == 5 and "load_collection" not in server.done


def test_an_index_that_failed_is_not_waited_for(slept):
    with pytest.raises(IndexUnavailable, match="Failed, and 4 rows wait"):
        filled(Server(4, state="Failed"))
    assert not slept
