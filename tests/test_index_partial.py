"""Indexes that look at a part of the items: what they find, how much they look at, and when exact search answers."""

import numpy as np
import pytest

from souk.errors import SoukError
from souk.index import hnsw, ivf
from souk.index.exact import ExactIndex
from souk.index.hnsw import HnswIndex
from souk.index.ivf import BAR, IvfIndex
from souk.index.partial import read, write
from souk.index.recall import recall_at, sample_queries
from tests.test_index_contract import catalogue


@pytest.fixture(scope="module")
def lists():
    """For the best twenty, which fewer lists hold than 500 of 3,000."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ivf, "BAR_AT", 20)
        return ivf.build(catalogue(3000)[0])


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_what_is_near_is_found_at_any_selectivity(monkeypatch, lists, kind):
    """By the graph and the lists themselves, on more items than they look at."""
    monkeypatch.setattr(hnsw, "LEAST", 100)
    vectors, _ = catalogue(3000)
    built, index = (hnsw.build(vectors), HnswIndex) if kind == "hnsw" else (lists, IvfIndex)
    for share in (1.0, 0.5, 0.1, 0.01, 0.001):
        mask = np.random.default_rng(1).random(3000) < share
        partial, exact = index(built, vectors, mask, always=True), ExactIndex(vectors, mask)
        assert recall_at(partial, exact, vectors[:60], 20) > 0.95
        found = (partial.search(vectors[:60], 20)[0] >= 0).sum(axis=1)
        assert mask.any() and (found == min(20, mask.sum())).all(), "fewer than there are"


def test_as_many_lists_are_read_as_find_the_share_and_no_more(lists):
    vectors, exact = catalogue(3000)[0], ExactIndex(catalogue(3000)[0])
    queries, kept = sample_queries(vectors), lists.nprobe
    assert lists.nlist == 128 and kept < 128
    assert recall_at(IvfIndex(lists, vectors, always=True), exact, queries, 20) >= BAR
    try:
        lists.nprobe = int(kept / 1.25)
        assert recall_at(IvfIndex(lists, vectors, always=True), exact, queries, 20) < BAR
    finally:
        lists.nprobe = kept


def test_lists_on_disk_know_how_many_are_read(lists, tmp_path):
    vectors, _ = catalogue(3000)
    write(lists, tmp_path / "ivf.faiss")
    again = read(tmp_path / "ivf.faiss")
    assert (again.nprobe, again.nlist, again.ntotal) == (lists.nprobe, lists.nlist, 3000)
    one, other = (IvfIndex(each, vectors, always=True).search(vectors[:9], 40) for each in (lists, again))
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_lists_of_few_vectors(size):
    vectors, _ = catalogue(size)
    index = IvfIndex(ivf.build(vectors), vectors, always=True)
    wanted, scores = ExactIndex(vectors).search(vectors, 3)
    found = index.search(vectors, 3)
    np.testing.assert_array_equal(found[0], wanted)
    np.testing.assert_allclose(found[1], scores, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 4])
def test_lists_find_what_others_share_a_vector_with(groups):
    """Half of the items were never taken, and are of few kinds: a graph links them to each other alone."""
    vectors, _ = catalogue(4000)
    same = np.random.default_rng(0).permutation(4000)[:2000]
    vectors[same] = vectors[same[:groups]][np.arange(2000) % groups]
    random = np.random.default_rng(1).normal(size=(40, vectors.shape[1])).astype(np.float32)
    for queries in (random, vectors[same[:groups]] + 0.1 * random[:groups]):
        index = IvfIndex(ivf.build(vectors), vectors, always=True)
        assert recall_at(index, ExactIndex(vectors), queries, 100) > 0.95


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_what_comes_back_short_is_done_again_by_all_products(monkeypatch, kind):
    """What may appear is far from where the search ends."""
    vectors, _ = catalogue(3000)
    mask = np.zeros(3000, bool)
    mask[np.argsort(vectors @ vectors[0])[:30]] = True
    monkeypatch.setattr(hnsw, "LEAST", 0)
    monkeypatch.setattr(hnsw, "WIDTH", 0)
    built = (hnsw if kind == "hnsw" else ivf).build(vectors)
    if kind == "ivf":
        built.nprobe = 1
        monkeypatch.setattr(ivf, "NEARLY_ALL", 0.0)
    index = (HnswIndex if kind == "hnsw" else IvfIndex)(built, vectors, always=True)
    assert index._of(vectors[0], 20, mask) is None
    found, truth = (one.search(vectors[:1], 20, allowed=[mask]) for one in (index, ExactIndex(vectors)))
    np.testing.assert_array_equal(found[0], truth[0])


def test_a_search_that_finds_some_but_too_few_is_done_again_too(monkeypatch):
    vectors, _ = catalogue()
    index = HnswIndex(hnsw.build(vectors), vectors, always=True)
    wanted = index.search(vectors[:1], 5)[0]

    class Short:
        def search(self, queries, count, params):
            return np.zeros((1, count), np.float32), np.array([[7, 9, *[-1] * (count - 2)]])

    monkeypatch.setattr(index, "_built", Short())
    np.testing.assert_array_equal(index.search(vectors[:1], 5)[0], wanted)


def test_as_many_more_are_looked_at_as_fewer_may_appear(monkeypatch):
    monkeypatch.setattr(hnsw, "LEAST", 10)
    vectors, _ = catalogue(3000)
    narrow = ivf.build(vectors)
    narrow.nprobe = 3
    for index, name, wanted in (
        (HnswIndex(hnsw.build(vectors), vectors, always=True), "efSearch", [20, 80, 400]),  # four for each of the five
        (IvfIndex(narrow, vectors, always=True), "nprobe", [3, 6, 12, 14, 28]),
    ):
        asked, found = [], index._built.search

        class Asked:
            def search(self, queries, count, params, asked=asked, found=found, name=name):
                asked.append(getattr(params, name))
                return found(queries, count, params=params)

        monkeypatch.setattr(index, "_built", Asked())
        index._built.nprobe, index._built.nlist, index._built.ntotal = narrow.nprobe, narrow.nlist, narrow.ntotal
        for every in (1, 4, 20):
            index.search(vectors[:1], 5, allowed=[np.arange(3000) % every == 0])
        assert asked == wanted


@pytest.mark.parametrize(("share", "by"), [(1.0, "lists"), (0.9, "lists"), (0.02, "all products")])
def test_exact_search_answers_where_it_is_quicker(monkeypatch, share, by):
    """Few lists hold what is near to one of a group: without a filter they are quicker than all products."""
    monkeypatch.setattr(ivf, "BAR_AT", 20)
    vectors = catalogue(60)[0].repeat(50, axis=0) + 0.02 * catalogue(3000, seed=5)[0]
    built, said = ivf.build(vectors), []
    assert built.nprobe <= 16
    index = IvfIndex(built, vectors)
    search = ExactIndex.search
    monkeypatch.setattr(ExactIndex, "search", lambda *given: said.append("all products") or search(*given))
    mask = np.random.default_rng(0).random(3000) < share
    index.search(vectors[:1], 20, allowed=[mask])
    assert said == (["all products"] if by == "all products" else [])


def grouped(size=6000, groups=20, strays=0.1):
    """Tight groups, whose number each item has; a tenth of each lies among the others."""
    random = np.random.default_rng(2)
    middles, own = random.normal(size=(groups, 32)), random.integers(groups, size=size)
    at = np.where(random.random(size) < strays, random.integers(groups, size=size), own)
    vectors = (middles[at] + 0.25 * random.normal(size=(size, 32))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), own


@pytest.mark.parametrize("left", [{7}, {3, 4, 5, 6, 7}, {*range(1, 20)}])
def test_a_filter_by_what_lies_elsewhere_loses_nothing(monkeypatch, left):
    """The lists near the query hold strays of what may appear, and enough of them."""
    monkeypatch.setattr(ivf, "BAR_AT", 100)
    vectors, group = grouped()
    built, mask = ivf.build(vectors), np.isin(group, list(left))
    assert built.nprobe < built.nlist / 4
    queries = vectors[group == 0][:50]
    for always in (False, True):
        index = IvfIndex(built, vectors, always=always)
        assert recall_at(index, ExactIndex(vectors), queries, 100, allowed=mask) > 0.97
        assert recall_at(index, ExactIndex(vectors), queries, 100) > 0.97


@pytest.mark.parametrize("left", [{7}, {3, 4, 5}])
def test_lists_are_of_what_is_available_and_another_time_is_searched_exactly(monkeypatch, left):
    monkeypatch.setattr(ivf, "BAR_AT", 100)
    vectors, group = grouped()
    available = np.isin(group, list(left))
    index, exact = IvfIndex(ivf.build(vectors, available), vectors, available), ExactIndex(vectors, available)
    assert index._built.ntotal == available.sum()
    assert recall_at(index, exact, sample_queries(vectors), 100) > 0.97
    assert index._of(vectors[0], 100, np.ones(len(vectors), bool)) is None
    found = index.search(vectors[:5], 100, available_only=False)[0]
    np.testing.assert_array_equal(found, exact.search(vectors[:5], 100, available_only=False)[0])


def test_of_nothing_that_is_available_there_are_no_lists():
    vectors, _ = catalogue(30)
    none = np.zeros(30, bool)
    index = IvfIndex(ivf.build(vectors, none), vectors, none)
    assert (index.search(vectors[:2], 3)[0] == -1).all()
    np.testing.assert_array_equal(index.search(vectors[:2], 1, available_only=False)[0], [[0], [1]])


def test_what_comes_back_is_found_beside_the_lists(monkeypatch):
    """One item that is sold again sent every request to all products."""
    vectors, _ = catalogue(3000)
    there = np.arange(3000) != 7
    index = IvfIndex(ivf.build(vectors, there), vectors, np.ones(3000, bool), always=True)
    monkeypatch.setattr(index.exact, "search", lambda *given: pytest.fail("all products"))
    positions, scores = index.search(vectors[5:9], 10)
    np.testing.assert_array_equal(positions[:, 0], [5, 6, 7, 8])
    assert (scores[:, 0] > 0.999).all()


def test_an_index_of_more_or_other_items_is_refused():
    vectors, _ = catalogue(60)
    for built, own in ((hnsw.build(vectors[:20]), HnswIndex), (ivf.build(vectors, np.arange(60) > 50), IvfIndex)):
        with pytest.raises(SoukError, match="Do not mix releases"):
            own(built, vectors[:40])


@pytest.mark.parametrize(("new", "answered"), [(0, True), (3, True), (4, False)])
def test_where_twice_the_lists_bring_much_that_is_new_exact_search_answers(monkeypatch, lists, new, answered):
    """Of a hundred: how few the lists near a query have of what a filter leaves shows in those that lie further."""
    vectors, _ = catalogue(3000)
    index, readings = IvfIndex(lists, vectors, always=True), [np.arange(116), np.arange(0)]
    monkeypatch.setattr(index, "_of_lists", lambda *given: readings.pop(0))
    readings[1] = np.concatenate([np.arange(new + 500, 500 + 2 * new), np.arange(116 - new)])
    found = index._of(vectors[0], 100, np.arange(3000) % 2 == 0)
    assert (found is not None) == answered and not readings
