"""A collection that Milvus indexes and loads: waited for while it comes on, and no longer."""

from types import SimpleNamespace

import numpy as np
import pytest
from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from souk.index import collections
from souk.index.collections import CALL_TIMEOUT, STALLED_SECONDS, fill
from souk.index.interface import IndexUnavailable


class Server:
    """Says how many rows wait for the index, and how much is loaded, each time another number; the last one from then
    on."""

    prepare_index_params = staticmethod(MilvusClient.prepare_index_params)

    def __init__(self, *pending, state="InProgress", loaded=(100,), load=LoadState.Loading):
        self.pending, self.state, self.loaded, self.load, self.done = [*pending], state, [*loaded], load, []

    def describe_index(self, collection, field):
        left = self.pending.pop(0) if len(self.pending) > 1 else self.pending[0]
        return {"pending_index_rows": left, "state": self.state if left else "Finished"}

    def get_load_state(self, collection):
        progress = self.loaded.pop(0) if len(self.loaded) > 1 else self.loaded[0]
        if progress == 100:
            return {"state": LoadState.Loaded}
        return {"state": self.load, **({"progress": progress} if self.load is LoadState.Loading else {})}

    def create_index(self, collection, index, sync=True):
        assert not sync, "pymilvus would wait here without an end"

    def load_collection(self, collection, timeout, _async=False):
        assert _async, "pymilvus would wait here however it comes on"
        self.flush(collection, timeout)
        self.done.append("load_collection")

    def flush(self, collection, timeout):
        assert timeout == CALL_TIMEOUT < STALLED_SECONDS, "pymilvus would repeat it for longer where the server is away"

    def __getattr__(self, name):
        return lambda *given, **named: None


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
    with pytest.raises(IndexUnavailable, match="InProgress: 3 of 4 vectors wait for the index of items"):
        filled(server)
    assert len(slept) == 5 and "load_collection" not in server.done


def test_an_index_that_failed_is_not_waited_for(slept):
    with pytest.raises(IndexUnavailable, match="Failed: 4 of 4 vectors wait"):
        filled(Server(4, state="Failed"))
    assert not slept


def test_a_load_that_comes_on_is_waited_for_however_long_it_takes(slept):
    server, said = Server(0, loaded=(0, 0, 0, 40, 40, 40, 80, 80, 80, 100)), []
    filled(server, said.append)
    assert len(slept) == 9
    assert said[1:] == [f"{left} % of items wait to be loaded" for left in (100, 60, 20)]


def test_a_load_that_does_not_is_given_up(slept):
    with pytest.raises(IndexUnavailable, match="Loading: 60 % of items wait to be loaded"):
        filled(Server(0, loaded=(0, 40)))
    assert len(slept) == 5


def test_a_load_that_failed_is_not_waited_for(slept):
    with pytest.raises(IndexUnavailable, match="NotLoad"):
        filled(Server(0, loaded=(0,), load=LoadState.NotLoad))
    assert not slept
