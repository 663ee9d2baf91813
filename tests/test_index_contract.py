"""What every index must do: known answers, filters, exclusions; the same suite on exact search and Milvus."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from souk.index import hnsw, ivf
from souk.index.delta import DeltaIndex
from souk.index.exact import ExactIndex
from souk.index.hnsw import HnswIndex
from souk.index.interface import IndexUnavailable, collection_name
from souk.index.ivf import IvfIndex
from souk.index.milvus import MilvusIndex, build, open_or_build
from souk.index.recall import recall_at
from tests.milvus_fixtures import real_milvus

ITEMS, DIM = 300, 16
SERVER = """
import sys
from milvus_lite.adapter.grpc.server import start_server_in_thread
server, db, port = start_server_in_thread(sys.argv[1])
print(port, flush=True)
sys.stdin.read()
"""


def catalogue(items=ITEMS, seed=3):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(items, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), random.random(items) < 0.8


@contextlib.contextmanager
def milvus_server(folder):
    """Milvus Lite behind a port, in a process of its own, which can be stopped and killed: (uri, process)."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def opened(kind, vectors, available, folder):
    """An index of `kind` over the catalogue, which has all the time that a busy machine takes."""
    with contextlib.ExitStack() as stack:
        if kind == "exact":
            index = ExactIndex(vectors, available)
        elif kind == "delta":  # below it, every third item is another one, and the last fifty are not there yet
            replaced = np.union1d(np.arange(0, ITEMS, 3), np.arange(ITEMS - 50, ITEMS))
            old = vectors[: ITEMS - 50].copy()
            old[::3] = catalogue(seed=4)[0][: len(old) : 3]
            known = np.where(np.arange(len(old)) % 3, available[: len(old)], ~available[: len(old)])
            index = DeltaIndex(ExactIndex(old, known), vectors, available, replaced)
        elif kind in ("hnsw", "walk"):  # a walk goes through all of so few
            index = HnswIndex(hnsw.build(vectors), vectors, available, always=kind == "walk")
        elif kind in ("ivf", "lists"):
            built = ivf.build(vectors)
            built.nprobe = built.nlist
            index = IvfIndex(built, vectors, available, always=kind == "lists")
        elif kind == "lite":
            index = open_or_build(str(folder / "items.db"), "items_test", vectors, available)
        else:
            uri = stack.enter_context(real_milvus(folder / "milvus"))
            index = open_or_build(uri, "items_test", vectors, available)
        index.timeout = 60.0
        stack.callback(index.close)
        yield index


@pytest.fixture(scope="module", params=["exact", "delta", "ivf", "lists", "hnsw", "walk", "lite", "server"])
def index(request, tmp_path_factory):
    with opened(request.param, *catalogue(), tmp_path_factory.mktemp("index")) as one:
        yield one


def brute_force(vectors, allowed, query, k):
    """The scores of the k best allowed items, one item at a time."""
    return sorted((float(query @ vectors[p]) for p in range(len(vectors)) if allowed[p]), reverse=True)[:k]


def test_nearest_of_a_vector_is_itself(index):
    vectors, available = catalogue()
    wanted = np.flatnonzero(available)[:20]
    positions, scores = index.search(vectors[wanted], 1)
    assert (positions.dtype, scores.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(positions[:, 0], wanted)
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)


def test_unavailable_items_only_on_demand(index):
    vectors, available = catalogue()
    hidden = np.flatnonzero(~available)[:5]
    assert not np.isin(index.search(vectors[hidden], ITEMS)[0], np.flatnonzero(~available)).any()
    np.testing.assert_array_equal(index.search(vectors[hidden], 1, available_only=False)[0][:, 0], hidden)


def test_asks_for_more_than_there_is(index):
    vectors, available = catalogue()
    positions, scores = index.search(vectors[:2], ITEMS + 10)
    assert positions.shape == scores.shape == (2, ITEMS + 10)
    assert ((positions >= 0).sum(axis=1) == available.sum()).all()
    assert (positions[:, available.sum() :] == -1).all()
    assert np.isneginf(scores[:, available.sum() :]).all()


def test_all_excluded_gives_an_empty_answer(index):
    positions, scores = index.search(catalogue()[0][:1], 5, [range(ITEMS)])
    assert (positions == -1).all()
    assert np.isneginf(scores).all()


def test_an_empty_batch(index):
    positions, scores = index.search(np.zeros((0, DIM), np.float32), 5)
    assert positions.shape == scores.shape == (0, 5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_filters_equal_brute_force(index, data):
    """At any selectivity, with a different mask and exclusion for each query."""
    vectors, available = catalogue()
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    k = data.draw(st.sampled_from([1, 7, 50]))
    share = data.draw(st.sampled_from([None, 0.01, 0.1, 0.5, 1.0]))
    sizes = data.draw(st.lists(st.sampled_from([0, 1, 30, 199, 201, 290, 299, ITEMS]), min_size=1, max_size=4))
    exclude = [set(random.choice(ITEMS, size, replace=False).tolist()) for size in sizes]
    queries = random.normal(size=(len(sizes), DIM)).astype(np.float32)
    only = data.draw(st.booleans())
    masks = (
        None if share is None else [random.random(ITEMS) < share if row % 2 == 0 else None for row in range(len(sizes))]
    )
    positions, scores = index.search(queries, k, exclude, only, allowed=masks)
    for row, out in enumerate(exclude):
        own = np.ones(ITEMS, bool) if masks is None or masks[row] is None else masks[row]
        allowed = [p not in out and own[p] and (available[p] or not only) for p in range(ITEMS)]
        truth = brute_force(vectors, allowed, queries[row], k)
        found = positions[row][positions[row] >= 0]
        assert len(found) == len(set(found)) == len(truth)
        assert all(allowed[p] for p in found)
        np.testing.assert_allclose(scores[row, : len(truth)], truth, atol=1e-5)
        np.testing.assert_allclose(vectors[found] @ queries[row], truth, atol=1e-5)


def test_equal_scores_come_in_order_of_position(index):
    positions, _ = index.search(np.zeros((1, DIM), np.float32), ITEMS, available_only=False)
    np.testing.assert_array_equal(positions[0], np.arange(ITEMS))


def test_exact_breaks_ties_at_the_cut_by_position():
    positions, _ = ExactIndex(np.ones((50, 4), np.float32)).search(np.ones((1, 4), np.float32), 7)
    np.testing.assert_array_equal(positions[0], np.arange(7))


def test_more_items_were_replaced_than_are_spared_for():
    """All of the first items went, and the index below brings nothing but them."""
    vectors = np.ones((600, 2), np.float32) * np.linspace(2, 1, 600, dtype=np.float32)[:, None]
    available = np.arange(600) >= 500
    index = DeltaIndex(ExactIndex(vectors), vectors, available, np.arange(500))
    np.testing.assert_array_equal(index.search(vectors[:1], 7)[0][0], np.arange(500, 507))
    np.testing.assert_array_equal(index.search(vectors[:1], 7, [[500, 502]])[0][0], [501, *range(503, 509)])


def test_the_replaced_are_searched_by_one_product_for_all_queries(monkeypatch):
    """Where each query copied their vectors, 100,000 of them took tens of milliseconds."""
    searched = []

    class Counted(ExactIndex):
        def search(self, queries, *given, **named):
            searched.append((len(self), len(queries)))
            return super().search(queries, *given, **named)

    vectors, available = catalogue(300)
    base = ExactIndex(vectors[:250], available[:250])
    monkeypatch.setattr("souk.index.delta.ExactIndex", Counted)
    index = DeltaIndex(base, vectors, available, np.arange(150, 300))
    allowed = [np.random.default_rng(row).random(300) < 0.6 for row in range(5)]
    positions, scores = index.search(vectors[:5], 9, [[row] for row in range(5)], allowed=allowed)
    assert searched == [(150, 5)]
    expected = ExactIndex(vectors, available).search(vectors[:5], 9, [[row] for row in range(5)], allowed=allowed)
    np.testing.assert_array_equal(positions, expected[0])
    np.testing.assert_allclose(scores, expected[1], atol=1e-6)


def test_closed_index_is_unavailable(tmp_path):
    vectors, available = catalogue()
    with opened("lite", vectors, available, tmp_path) as index:
        index.close()
        with pytest.raises(IndexUnavailable, match="closed"):
            index.search(vectors[:1], 1)


def test_recall_counts_what_is_missed():
    vectors, _ = catalogue()
    half = ExactIndex(vectors, np.arange(ITEMS) % 2 == 0)
    assert recall_at(ExactIndex(vectors), ExactIndex(vectors), vectors[:10], 20) == 1
    assert 0.3 < recall_at(half, ExactIndex(vectors), vectors, 20) < 0.7
    none = ExactIndex(vectors, np.zeros(len(vectors), bool))
    assert recall_at(none, none, vectors, 20) == 1, "of nothing, nothing is missing"


def test_of_items_with_one_vector_any_is_as_good():
    """Those that training never saw share one where they share their content; which of them come first nobody minds."""
    vectors, _ = catalogue()
    vectors[100:250] = vectors[100]
    order = np.random.default_rng(0).permutation(ITEMS)

    class Turned(ExactIndex):
        def search(self, queries, k, *given, **named):
            positions, scores = super().search(queries, k, *given, **named)
            return order[positions], scores

    turned = Turned(vectors[order])
    assert np.mean(turned.search(vectors, 50)[0] == ExactIndex(vectors).search(vectors, 50)[0]) < 0.9
    assert recall_at(turned, ExactIndex(vectors), vectors, 50) == 1


@pytest.mark.parametrize("wrong", ["one again and again", "others", "what may not appear"])
def test_what_is_not_found_is_no_recall_whatever_an_index_says_of_it(wrong):
    vectors, available = catalogue()[0], np.arange(ITEMS) % 10 == 0

    class Wrong(ExactIndex):
        def search(self, queries, k, *given, **named):
            positions, scores = super().search(queries, k, *given, **named)
            if wrong == "one again and again":
                return positions[:, :1].repeat(k, axis=1), scores[:, :1].repeat(k, axis=1)
            return (positions + 1 if wrong == "others" else positions), scores

    own = None if wrong == "what may not appear" else available
    for length in (1.0, 1e-3):
        index, exact = Wrong(length * vectors, own), ExactIndex(length * vectors, available)
        assert recall_at(index, exact, vectors, 20) < 0.3


def test_a_collection_is_named_by_its_content():
    vectors, available = catalogue()
    ids = [f"i{p}" for p in range(ITEMS)]
    name = collection_name(ids, vectors, available)
    changed = vectors.copy()
    changed[7, 3] += 1e-6
    assert name == collection_name(ids, np.asfortranarray(vectors), available)
    others = [(["x", *ids[1:]], vectors, available), (ids, changed, available), (ids, vectors, ~available)]
    assert name not in [collection_name(*other) for other in others]
    assert len({collection_name(*other) for other in others}) == 3


def test_a_search_that_comes_up_short_is_no_answer(tmp_path):
    """The collection knows fewer available items than there are: the caller must use another index."""
    vectors, available = catalogue()
    build(str(tmp_path / "items.db"), "items_test", vectors, available & (np.arange(ITEMS) > 200))
    index = MilvusIndex(str(tmp_path / "items.db"), "items_test", available).open()
    with contextlib.closing(index), pytest.raises(IndexUnavailable, match="fewer"):
        index.search(vectors[:1], 150)
