"""A real Milvus server: what its graph finds, and collections that several workspaces build, share and sweep."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import DataType, MilvusClient

from souk.index import milvus, server
from souk.index.collections import connect
from souk.index.exact import ExactIndex
from souk.index.interface import IndexUnavailable
from souk.index.milvus import MilvusIndex, build, open_or_build
from souk.index.recall import recall_at
from tests.milvus_fixtures import real_milvus
from tests.test_index_contract import milvus_server

ROWS, DIM, NOW = 8_000, 64, 1_700_000_000_000


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with real_milvus(tmp_path_factory.mktemp("server") / "milvus") as uri:
        yield uri


@pytest.fixture
def lite(tmp_path):
    with milvus_server(tmp_path / "lite.db") as (uri, _):
        yield uri


@pytest.fixture(params=["lite", "real"])
def uri(request):
    """A server without collections."""
    address = request.getfixturevalue(request.param)
    with contextlib.closing(connect(address)) as client:
        for name in client.list_collections():
            for mark in client.list_aliases(name)["aliases"]:
                client.drop_alias(mark)
            client.drop_collection(name)
    return address


def vectors(rows=200, dim=8, seed=5):
    found = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def names(uri):
    with contextlib.closing(connect(uri)) as client:
        return set(client.list_collections())


def made(uri, *collections):
    """Empty ones."""
    schema = MilvusClient.create_schema()
    schema.add_field("position", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    with contextlib.closing(connect(uri)) as client:
        for name in collections:
            client.create_collection(name, schema=schema)


@pytest.mark.slow
def test_the_graph_is_whole_before_it_is_searched(real, monkeypatch):
    """Random directions are the hardest there are: a makeshift index finds half of what is near."""
    monkeypatch.setattr(milvus, "FLAT_ROWS", 1_000)
    found, available = vectors(ROWS, DIM), np.random.default_rng(1).random(ROWS) < 0.9
    queries = vectors(100, DIM, 7)
    said = []
    build(real, "items_graph", found, available, said.append)
    with contextlib.closing(MilvusIndex(real, "items_graph", available, timeout=60.0).open()) as index:
        assert recall_at(index, ExactIndex(found, available), queries, 100) > 0.99
        state = index._client.describe_index("items_graph", "vector")
        assert (state["index_type"], state["indexed_rows"], state["pending_index_rows"]) == ("HNSW", ROWS, 0)
        loaded = index._client.list_loaded_segments("items_graph")
        assert loaded and {segment.index_name for segment in loaded} == {"vector"}
    told = [text for text in said if " wait " not in text]
    assert told[-1].startswith(f"{ROWS:,} of {ROWS:,} vectors in building_items_graph_")


def test_who_builds_the_same_at_the_same_time_takes_what_is_there(uri):
    """Both began when there was none; the second leaves the first's alone, which requests may use by now."""
    found, available, second = vectors(), np.ones(200, bool), []

    def other(text):
        if not second:
            second.append(True)
            build(uri, "items_same", found, available)
            second.append(MilvusIndex(uri, "items_same", available, timeout=60.0).open())

    build(uri, "items_same", found, available, other)
    server.mark(uri, "items_same", "here")  # which is in nobody's way
    with contextlib.closing(second[1]) as index:
        assert index.search(found[:1], 1)[0][0, 0] == 0 and names(uri) == {"items_same"}


def test_what_is_not_whole_is_replaced(uri):
    build(uri, "items_same", vectors(199), np.ones(199, bool))
    with pytest.raises(IndexUnavailable, match="199"):
        MilvusIndex(uri, "items_same", np.ones(200, bool)).open()
    with contextlib.closing(open_or_build(uri, "items_same", vectors(), np.ones(200, bool))) as index:
        assert (index.search(vectors()[:1], 200, timeout=60.0)[0] >= 0).all()
    assert names(uri) == {"items_same"}


def test_a_collection_that_is_built_anew_is_in_use_by_who_used_the_one_before(uri):
    """Else the workspace that rebuilt it, and goes on to another, would drop it under the others."""
    build(uri, "items_same", vectors(199), np.ones(199, bool))
    server.mark(uri, "items_same", "there")
    build(uri, "items_same", vectors(), np.ones(200, bool))
    server.mark(uri, "items_same", "here")
    assert server.sweep(uri, set(), "here", NOW) == [] and names(uri) == {"items_same"}
    assert server.sweep(uri, set(), "there", NOW) == ["items_same"], "the last who used it"


def test_a_collection_that_is_being_built_is_not_there(uri):
    def look(text):
        assert "items_slow" not in names(uri)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(uri, "items_slow", vectors(), np.ones(200, bool), look)
    assert names(uri) == set(), "nor is what was built of it"


def test_a_sweep_drops_what_this_workspace_alone_used(uri):
    made(uri, "items_current", "items_before", "items_old", "items_shared", "items_loaded", "else")
    for name in ("items_current", "items_old", "items_shared"):
        server.mark(uri, name, "here")
    server.mark(uri, "items_shared", "there")
    server.mark(uri, "items_current", "here")
    with pytest.raises(IndexUnavailable):
        server.mark(uri, "items_missing", "here")
    assert server.sweep(uri, {"items_current", "items_before", "items_missing"}, "here", NOW) == ["items_old"]
    left = {"items_current", "items_before", "items_shared", "items_loaded", "else"}
    assert names(uri) == left, "one that was loaded and not deployed yet is nobody's"
    assert server.sweep(uri, set(), "there", NOW) == ["items_shared"], "the last who used it"
    assert server.sweep(uri, {"items_current"}, "here", NOW) == ["items_before"], "it was marked when it was kept"
    assert names(uri) == {"items_current", "items_loaded", "else"}


def test_what_nobody_uses_goes_after_a_week(uri):
    made(uri, "items_left", "items_used", "else")
    server.mark(uri, "items_used", "there")
    with contextlib.closing(connect(uri)) as client:
        client.rename_collection("else", "building_items_killed_01234567")
        born = client.describe_collection("items_left").get("created_timestamp", 0) >> 18
    if not born:  # Milvus Lite does not tell the age of a collection
        assert server.sweep(uri, set(), "here", 4 * NOW) == []
        return
    assert server.sweep(uri, set(), "here", born + server.ORPHAN_MS) == []
    gone = server.sweep(uri, set(), "here", born + server.ORPHAN_MS + 600_000)
    assert gone == ["building_items_killed_01234567", "items_left"] and names(uri) == {"items_used"}


def test_one_that_is_used_again_while_it_is_swept_stays(uri, monkeypatch):
    made(uri, "items_old")
    server.mark(uri, "items_old", "here")
    marks, asked = server._marks, []

    def marked(client, name):
        found = marks(client, name)
        if name == "items_old" and not asked:
            asked.append(name)
            server.mark(uri, "items_old", "there")
        return found

    monkeypatch.setattr(server, "_marks", marked)
    assert server.sweep(uri, set(), "here", NOW) == []
    assert names(uri) == {"items_old"}


CHANGES = ("_collection", "_alias", "_index", "insert", "flush")  # ends of what changes a server


class Killed(BaseException):
    """Nothing is done after it."""


class Dying:
    """A client of a process that is killed before a change of the server."""

    def __init__(self, client, lives):
        self._client, self._lives = client, lives

    def __getattr__(self, name):
        found = getattr(self._client, name)
        return (
            found
            if name in ("close", "has_collection", "describe_collection")
            else lambda *a, **k: self._do(found, *a, **k)
        )

    def _do(self, call, *given, **more):
        if call.__name__.endswith(CHANGES):
            self._lives -= 1
        if self._lives < 0:
            raise Killed
        return call(*given, **more)


def killed(monkeypatch, lives, call, *given):
    """Whether a process that calls this is killed after so many changes."""
    with monkeypatch.context() as patch:
        patch.setattr(server, "connect", lambda uri: Dying(connect(uri), lives))
        with contextlib.suppress(Killed):
            call(*given)
            return False
    return True


def marks_of(uri, collection):
    with contextlib.closing(connect(uri)) as client:
        return {name.removesuffix(f"_{collection}") for name in client.list_aliases(collection)["aliases"]}


def test_wherever_a_build_is_killed_the_collection_stays_in_use(uri, request, monkeypatch):
    found, available, lives = vectors(20), np.ones(20, bool), 0
    if real := request.node.callspec.params["uri"] == "real":  # which takes seconds to make one whole
        monkeypatch.setattr(server, "fill", lambda client, name, *_: made(uri, name))
    build(uri, "items_same", found, available)
    for who in ("here", "there"):
        server.mark(uri, "items_same", who)
    while killed(monkeypatch, lives, build, uri, "items_same", found, available):
        lives += 1
        if lives % 2 and "items_same" in names(uri):
            server.mark(uri, "items_same", "here")  # a server that starts
        if lives % 3:
            assert server.sweep(uri, {"items_same"}, "here", NOW) == []
        else:
            build(uri, "items_same", found, available)
        assert marks_of(uri, "items_same") == {"souk_here", "souk_there"}
        if not real:
            with contextlib.closing(MilvusIndex(uri, "items_same", available).open()) as index:
                assert index.search(found[:1], 1, timeout=60.0)[0][0, 0] == 0, "whole"
    assert lives >= 4
    assert server.sweep(uri, set(), "here", NOW) == [] and server.sweep(uri, set(), "there", NOW) == ["items_same"]
    assert all(name.startswith("building_") and not marks_of(uri, name) for name in names(uri)), "which go in a week"


def test_wherever_a_sweep_is_killed_the_next_one_ends_it(uri, monkeypatch):
    for lives in range(9):
        made(uri, "items_old")
        server.mark(uri, "items_old", "here")
        more = killed(monkeypatch, lives, server.sweep, uri, set(), "here", NOW)
        server.sweep(uri, set(), "here", NOW)
        if not more:
            break
        if lives:  # then its mark is gone: nobody's, for a week
            assert names(uri) <= {"items_old"}
        with contextlib.closing(connect(uri)) as client:
            client.drop_collection("items_old")
    assert lives == 3 and names(uri) == set()


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("there", ["marked", "kept"])
def test_one_that_a_killed_sweep_took_from_who_uses_it_comes_back(uri, there, again):
    made(uri, "items_used")
    if there == "marked":
        server.mark(uri, "items_used", "there")
    with contextlib.closing(connect(uri)) as client:
        client.rename_collection("items_used", "sweeping_items_used")
    if again:  # and was built anew meanwhile
        made(uri, "items_used")
    server.sweep(uri, {"items_used"} if there == "kept" else set(), "here", NOW)
    assert names(uri) == {"items_used"}
    assert marks_of(uri, "items_used") == {"souk_there" if there == "marked" else "souk_here"}


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_what_any_workspace_names_is_never_dropped(lite, data):
    """Workspaces deploy in any order; each names its last two."""
    with contextlib.closing(connect(lite)) as client:
        for name in client.list_collections():
            client.drop_collection(name)
        used: dict[str, list[str]] = {"one": [], "two": []}
        for _ in range(data.draw(st.integers(1, 8))):
            who, name = data.draw(st.sampled_from(sorted(used))), f"items_{data.draw(st.integers(0, 4))}"
            if not client.has_collection(name):
                made(lite, name)
            server.mark(lite, name, who)
            used[who] = [*(n for n in used[who] if n != name), name][-2:]
            server.sweep(lite, used[who], who, NOW)
            assert set(client.list_collections()) == {name for names in used.values() for name in names}
