"""Which of the two indexes answers a query, and that both give the same."""

import numpy as np
import pytest

from souk.index.delta import DeltaIndex
from souk.index.exact import ExactIndex
from souk.index.hnsw import HnswIndex
from souk.index.hnsw import build as graph
from souk.index.interface import IndexUnavailable
from souk.index.milvus import OVERFETCH, MilvusIndex, build
from souk.serving.dependency import FAILURES, Dependency
from souk.serving.retrieval import SHARED_EXCLUSIONS, Retrieval

ITEMS, DIM, K = 1000, 8, 20


class Counted(MilvusIndex):
    """Milvus, and how often it was called for how many queries."""

    calls: list[int]
    down = False

    def _hits(self, queries, *args):
        self.calls.append(len(queries))
        if self.down:
            raise IndexUnavailable("Milvus to answer", "nothing")
        return super()._hits(queries, *args)


@pytest.fixture
def exact():
    random = np.random.default_rng(5)
    rows = random.normal(size=(ITEMS, DIM)).astype(np.float32)
    return ExactIndex(rows / np.linalg.norm(rows, axis=1, keepdims=True), random.random(ITEMS) < 0.9)


@pytest.fixture
def milvus(exact, tmp_path):
    path = str(tmp_path / "items.db")
    build(path, "items", exact.vectors, exact.available)
    index = Counted(path, "items", exact.available)
    index.calls = []
    index.open()
    yield index
    index.close()


def queries(*exclusions):
    """A query for each number: its vector, and that many items to leave out."""
    random = np.random.default_rng(6)
    exclude = [frozenset(random.choice(ITEMS, size, replace=False).tolist()) for size in exclusions]
    return random.normal(size=(len(exclusions), DIM)).astype(np.float32), exclude


def test_the_bound_is_that_of_milvus():
    assert SHARED_EXCLUSIONS == OVERFETCH


def test_queries_with_many_exclusions_cost_milvus_nothing_and_get_the_same_answer(exact, milvus):
    vectors, exclude = queries(0, 201, 200, 700, 201, 3)
    wanted, scores = milvus.search(vectors, K, exclude)
    milvus.calls.clear()
    positions, found, healthy = Retrieval(milvus, exact, Dependency("index", 60)).search(vectors, K, exclude)
    assert milvus.calls == [3], "one call for the three others"
    assert healthy.all() and positions.tolist() == wanted.tolist()
    assert found == pytest.approx(scores, abs=1e-5)


def test_only_queries_that_were_milvus_to_answer_are_degraded_without_it(exact, milvus):
    vectors, exclude = queries(0, 500, 1)
    milvus.down = True
    retrieval = Retrieval(milvus, exact, Dependency("index", 60, lambda: 0.0))
    for _ in range(FAILURES + 2):
        positions, _, healthy = retrieval.search(vectors, K, exclude, 60.0)
        assert healthy.tolist() == [False, True, False]
        assert positions.tolist() == exact.search(vectors, K, exclude)[0].tolist()
    assert milvus.calls == [2] * FAILURES, "it is left alone for a while"


def test_without_an_index_of_record_nothing_is_degraded(exact):
    vectors, exclude = queries(0, 500)
    positions, _, healthy = Retrieval(None, exact, Dependency("index", 60)).search(vectors, K, exclude)
    assert healthy.all() and positions.tolist() == exact.search(vectors, K, exclude)[0].tolist()


def test_a_query_with_a_mask_costs_milvus_nothing_and_is_not_degraded(exact, milvus):
    vectors, exclude = queries(0, 3)
    milvus.down = True
    mask = np.arange(ITEMS) % 7 == 0
    positions, _, healthy = Retrieval(milvus, exact, Dependency("index", 60)).search(
        vectors[:1], K, exclude[:1], allowed=[mask]
    )
    assert healthy.all() and milvus.calls == []
    assert positions.tolist() == exact.search(vectors[:1], K, exclude[:1], allowed=[mask])[0].tolist()


def test_a_mask_that_leaves_out_few_available_items_is_milvus_to_answer(exact, milvus):
    vectors, exclude = queries(0, 3, 150)
    out = np.flatnonzero(exact.available)[::9][:60]
    mask = np.ones(ITEMS, bool)
    mask[[*out, *np.flatnonzero(~exact.available)]] = False
    retrieval = Retrieval(milvus, exact, Dependency("index", 60))
    positions, _, healthy = retrieval.search(vectors, K, exclude, allowed=[mask] * 3)
    assert healthy.all() and positions.tolist() == exact.search(vectors, K, exclude, allowed=[mask] * 3)[0].tolist()
    assert milvus.calls == [2], "150 and 60 are too many"


def test_a_mask_of_before_the_index_was_built_is_not_milvus_to_answer(exact, milvus):
    """An item had ended when the index was built: a query of before it may have it."""
    ended = int(np.flatnonzero(~exact.available)[0])
    more = ExactIndex(exact.vectors, exact.available | (np.arange(ITEMS) == ended))
    retrieval = Retrieval(milvus, more, Dependency("index", 60))
    vectors = more.vectors[[ended]]
    masks = [np.ones(ITEMS, bool), np.arange(ITEMS) != ended]
    found = [retrieval.search(vectors, K, [[]], allowed=[mask])[0][0].tolist() for mask in masks]
    assert found[0][0] == ended and ended not in found[1] and milvus.calls == [1]


@pytest.mark.parametrize(("down", "exclusions"), [(True, 0), (False, SHARED_EXCLUSIONS), (True, SHARED_EXCLUSIONS)])
def test_what_ended_before_the_index_was_built_is_not_found_where_exact_search_answers_for_it(
    exact, milvus, down, exclusions
):
    """The catalogue has these items, and the mask of now leaves them out; few ended since the index was built."""
    catalogue = ExactIndex(exact.vectors, np.ones(ITEMS, bool))
    ended = np.flatnonzero(~exact.available)
    mask = exact.available.copy()
    mask[np.flatnonzero(mask)[:5]] = False
    vectors, exclude = catalogue.vectors[ended[:3]], [range(exclusions)] * 3
    milvus.down = down
    found, _, healthy = Retrieval(milvus, catalogue, Dependency("index", 60)).search(
        vectors, K, exclude, allowed=[mask] * 3
    )
    assert milvus.calls == ([] if exclusions else [3]) and healthy.all() == bool(exclusions)
    assert found.tolist() == catalogue.search(vectors, K, exclude, allowed=[mask] * 3)[0].tolist()
    assert mask[found].all()


def test_what_was_replaced_counts_and_the_rest_as_the_index_has_it(exact, milvus):
    catalogue = np.ones(ITEMS, bool)
    out = np.flatnonzero(~exact.available)
    delta = Retrieval(milvus, exact, Dependency("index", 60)).with_items(exact.vectors, catalogue, out[:1]).index
    assert np.flatnonzero(~delta.available).tolist() == out[1:].tolist()


def test_without_a_mask_what_came_back_since_the_index_was_built_is_found_too(exact, milvus):
    """It had ended then, and is there again: the index has it as unavailable."""
    back = int(np.flatnonzero(~exact.available)[0])
    more = ExactIndex(exact.vectors, exact.available | (np.arange(ITEMS) == back))
    positions, _, healthy = Retrieval(milvus, more, Dependency("index", 60)).search(more.vectors[[back]], K, [[]])
    assert positions[0, 0] == back and healthy.all()


def test_changes_of_before_the_last_ones_still_count(exact):
    """Each comes on top of the one before; the index below knows none of them."""
    index = HnswIndex(graph(exact.vectors), exact.vectors, exact.available)
    retrieval, rows, there = (
        Retrieval(index, exact, Dependency("index", 60)),
        exact.vectors.copy(),
        exact.available.copy(),
    )
    for item in (3, 7):
        rows, there = rows.copy(), there.copy()
        rows[item], there[item] = -rows[item], True
        retrieval = retrieval.with_items(rows, there, np.array([item]))
    positions, scores, _ = retrieval.search(rows[[3, 7]], 1, [[], []])
    assert positions[:, 0].tolist() == [3, 7] and scores[:, 0] == pytest.approx([1, 1], abs=1e-5)
    assert not np.isin(retrieval.search(exact.vectors[[3, 7]], K, [[], []])[0], [3, 7]).any()


def test_what_the_index_knows_as_it_is_stays_its_own(exact):
    """All items are sent: as they are but for the noise of the tower, one with another vector, one that is gone, one
    that had ended when the index was built and is back, and a new one."""
    index = HnswIndex(graph(exact.vectors), exact.vectors, exact.available)
    first, all_of_it = Retrieval(index, exact, Dependency("index", 60)), np.arange(ITEMS)
    noisy = exact.vectors + np.float32(1e-7)
    assert first.with_items(noisy, exact.available, all_of_it).index is index
    gone, back = int(np.flatnonzero(exact.available)[9]), int(np.flatnonzero(~exact.available)[0])
    rows, there = np.concatenate([noisy, noisy[:1]]), np.append(exact.available, True)
    rows[5], there[gone], there[back] = -rows[5], False, True
    later = first.with_items(rows, there, np.arange(ITEMS + 1))
    assert later.index.replaced.tolist() == sorted([5, gone, back, ITEMS])
    found, _, _ = later.search(rows[[5, back]], 1, [[], []])
    assert found[:, 0].tolist() == [5, back] and gone not in later.search(rows[[gone]], K, [[]])[0]
    there[gone], rows = True, rows.copy()
    restored = later.with_items(rows, there, np.array([gone, 7])).index
    assert restored.replaced.tolist() == sorted([5, back, ITEMS]), "what was replaced before, and is not sent, stays"


def test_an_index_in_process_answers_all_queries(exact):
    class Asked(HnswIndex):
        rows = 0

        def search(self, queries, *args, **kwargs):
            self.rows += len(queries)
            return super().search(queries, *args, **kwargs)

    index = Asked(graph(exact.vectors), exact.vectors, exact.available)
    vectors, exclude = queries(0, 500, 2)
    masks = [None, None, np.arange(ITEMS) % 2 == 0]
    first = Retrieval(index, exact, Dependency("index", 60))
    for retrieval in (first, with_a_change(first, exact)):
        positions, _, healthy = retrieval.search(vectors, K, exclude, allowed=masks)
        assert healthy.all() and positions.tolist() == exact.search(vectors, K, exclude, allowed=masks)[0].tolist()
    assert index.rows == 6


def with_a_change(retrieval, exact):
    """One item is searched beside the index."""
    index = DeltaIndex(retrieval.index, exact.vectors, exact.available, np.array([5]))
    return Retrieval(index, exact, Dependency("index", 60))
