"""Sources of candidates and their merged list, with answers by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk import candidates
from souk.candidates import SHARES, Sources, merged
from souk.errors import SoukError
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.schema import DAY_MS
from souk.sources.co_visitation import STEPS, follow
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows, distinct, summed, totals_of, weights_of

NOW = 20_000 * DAY_MS
RULES = SparseRows(  # 0 → 1 (.5), 2 (.4); 1 → 2 (.3); 3 → 0 (.9)
    np.array([0, 2, 3, 3, 4, 4, 4]), np.array([1, 2, 2, 0], np.int32), np.array([0.5, 0.4, 0.3, 0.9], np.float32)
)
SEGMENTS = Segments({"": 0}, SparseRows(np.array([0, 2]), np.array([4, 5], np.int32), np.array([0.1, 0.7], np.float32)))
CREATED = np.array([np.nan, NOW - 40 * DAY_MS, NOW - 2 * DAY_MS, NOW - DAY_MS, NOW + 1, NOW - 3 * DAY_MS])
ITEMS = ItemTable(
    position={f"i{n}": n for n in range(6)},
    vectors=np.array([[1, 0], [0, 1], [1, 1], [-1, 0], [2, 2], [0.5, 0]], np.float32),
    counters=np.zeros((6, 2), np.float32),
    created_at=CREATED,
    available_until=np.full(6, np.inf),
    value_start=np.zeros(7, np.int64),
    values=np.zeros(0, np.int64),
    rules=RULES,
    segments=SEGMENTS,
)


def query(names, gaps):
    return PairQuery.of(NOW, {"token_item_id": names, "token_gap": [math.nan, *gaps]}, 1.0, ITEMS)


def listed(query, vector=None, count=20, barred=()):
    lists, failed = Sources(ITEMS).listed(query, vector, count, lambda places: ~np.isin(places, barred))
    assert not failed
    return {name: found.tolist() for name, found in lists.items()}


def test_what_follows_a_history_counts_less_with_every_moment():
    items, scores = follow(RULES, np.array([0, -1, 1]), np.array([2, 1, 0]), 6)
    assert items.tolist() == [1, 2]
    assert scores == pytest.approx([0.5 * 3**-STEPS, 0.4 * 3**-STEPS + 0.3], rel=1e-6)


def test_each_source_lists_its_best_that_may_be_shown():
    found = listed(query(["i3", "i0"], [60.0]), vector=np.array([1.0, 1.0], np.float32))
    assert found["co_visitation"] == [1, 2, 0]  # .5, .4, and .9 one moment ago
    assert found["buy_again"] == [0, 3]
    assert found["segment_popular"] == [5, 4]
    assert found["fresh"] == [2, 5], "the best of the newest by content, no more than a tenth of 20"
    barred = listed(query(["i3", "i0"], [60.0]), vector=np.array([1.0, 1.0], np.float32), barred=[0, 2])
    assert (barred["co_visitation"], barred["buy_again"], barred["fresh"]) == ([1], [3], [5, 3])


def test_without_a_vector_the_newest_are_fresh():
    assert listed(query([], []), count=30)["fresh"] == [3, 2, 5], "of those created in the days before the query"


def test_a_source_that_fails_is_named_and_the_others_answer(monkeypatch):
    def down(self, query, vector):
        raise RuntimeError("no memory")

    monkeypatch.setattr(Sources, "co_visitation", down)
    lists, failed = Sources(ITEMS).listed(query(["i0"], []), None, 20, lambda places: places >= 0)
    assert failed == ["co_visitation"] and lists["segment_popular"].tolist() == [5, 4]


def test_the_merged_list_is_by_place_and_each_item_comes_once():
    lists = {
        "two_tower": np.array([7, 8, 9, 10, 11]),
        "co_visitation": np.array([8, 20, 7]),
        "buy_again": np.array([30, 31]),  # places 2 and 4
        "segment_popular": np.array([11, 40]),  # places 10 and 20
    }
    found = merged(lists, 100)
    assert found.positions.tolist() == [7, 8, 20, 30, 9, 10, 31, 11, 40]
    names = dict(zip(found.positions.tolist(), found.names(), strict=True))
    assert names[8] == names[7] == "two_tower+co_visitation"
    assert (names[11], names[40], names[31]) == ("two_tower+segment_popular", "segment_popular", "buy_again")
    assert merged(lists, 4).positions.tolist() == [7, 8, 20, 30]
    assert merged({}, 9).positions.tolist() == [] and next(iter(SHARES)) == "two_tower"


def test_lists_cut_at_their_share_lack_nothing_of_the_first():
    rng = np.random.default_rng(5)
    whole = {name: rng.permutation(400)[:300] for name in SHARES}
    cut = {name: found[: int(50 * SHARES[name])] for name, found in whole.items()}
    np.testing.assert_array_equal(merged(whole, 50).positions, merged(cut, 50).positions)
    np.testing.assert_array_equal(merged(whole, 300).positions[:50], merged(whole, 50).positions)


def test_sums_by_counting_and_by_sorting_are_the_same():
    rng = np.random.default_rng(6)
    items, weights = rng.integers(0, 40, 200), rng.random(200).astype(np.float32)
    for size in (40, 40_000_000):
        assert distinct(items, size).tolist() == sorted(set(items.tolist()))
    assert not len(distinct(items[:0], 0))
    counted, sorted_ = summed(items, weights, 40), summed(items, weights, 40_000_000)
    np.testing.assert_array_equal(counted[0], sorted_[0])
    np.testing.assert_allclose(counted[1], sorted_[1], rtol=1e-5)
    assert weights_of(*counted, np.array([counted[0][3], 41])) == pytest.approx([counted[1][3], 0])
    assert weights_of(counted[0], np.stack([counted[1], 2 * counted[1]]), counted[0][3:5]).tolist() == [
        counted[1][3:5].tolist(),
        (2 * counted[1][3:5]).tolist(),
    ]
    for wanted in (np.array([items[0], 41]), np.tile(items, 99)):  # by sorting, and by counting
        assert totals_of(items, None, 1000, wanted).tolist() == [(items == each).sum() for each in wanted]
        assert totals_of(items, weights, 1000, wanted) == pytest.approx([weights[items == i].sum() for i in wanted])
    assert totals_of(np.zeros(0, np.int64), None, 1000, np.array([0, 999])).tolist() == [0, 0]


def test_rows_keep_the_strongest_and_come_back_from_disk(tmp_path):
    rows, items = np.array([2, 0, 0, 0, 2]), np.array([5, 1, 2, 3, 4])
    found = SparseRows.strongest(rows, items, np.array([1.0, 0.2, 0.9, 0.2, 0.0]), 3, 2)
    assert (found.indptr.tolist(), found.items.tolist()) == ([0, 2, 2, 3], [1, 2, 5]), "1 before 3: a tie"
    found.save(tmp_path / "rows.npz")
    back = SparseRows.load(tmp_path / "rows.npz", 6)
    assert all((vars(back)[name] == array).all() for name, array in vars(found).items())
    with pytest.raises(SoukError, match="positions of 5 items"):
        SparseRows.load(tmp_path / "rows.npz", 5)
    with pytest.raises(SoukError, match="numpy archive"):
        SparseRows.load(tmp_path / "nothing.npz", 5)


@pytest.mark.parametrize("copied", [0, 10_000])
@pytest.mark.parametrize("rows", [[], [2], [1, 3], [0, 2, 2, 1]])
def test_entries_are_the_same_whether_rows_are_copied_or_looked_up(monkeypatch, copied, rows):
    monkeypatch.setattr("souk.sources.rows.COPIED", copied)
    own: list[list[int]] = [[4, 5], [], [0, 1, 3], []]
    there = [item for items in own for item in items]
    sparse = SparseRows(np.array([0, 2, 2, 5, 5]), np.array(there, np.int32), np.array(there, np.float32) / 10)
    owner, items, weights = sparse.gather(np.array(rows, np.int64))
    assert owner.tolist() == [place for place, row in enumerate(rows) for _ in own[row]]
    assert items.tolist() == [item for row in rows for item in own[row]]
    assert weights.tolist() == pytest.approx([item / 10 for row in rows for item in own[row]])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40), st.integers(0, 45))
def test_of_two_orders_each_item_has_its_better_place(pairs, wanted):
    """Only what is among the first of one is told: the rest has no place in a list of so many."""
    scores, found = np.array(pairs, float).T, 3 * np.arange(len(pairs))
    places = [np.argsort(np.argsort(-own, kind="stable"), kind="stable") for own in scores]
    expected = found[np.argsort(np.minimum(*places), kind="stable")][:wanted].tolist()
    assert candidates._best(*candidates._better(found, scores, wanted), wanted).tolist() == expected
