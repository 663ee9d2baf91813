"""Pair features with answers by hand."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from souk.errors import SoukError
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import LINEAR, PAIR_FEATURES, pair_features, pair_names
from souk.repeats import near
from souk.schema import DAY_MS
from souk.sources.co_visitation import STEPS
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from tests.models_fixtures import cycle_spec

DAY = 100 * DAY_MS
VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], np.float32)
ITEMS = pa.table(
    {
        "item_id": ["a", "b", "c", "d"],
        "item_category": [["x", "x/1"], ["x", "x/2"], ["y"], []],
        "created_at": pa.array([90 * DAY_MS, None, 200 * DAY_MS, 100 * DAY_MS], pa.int64()),
    }
)
COUNTERS = pa.table(
    {
        "item_id": ["a", "b", "c", "d"],
        "events": [9, 0, 3, 1],
        "events_30d": [4, 0, 0, 1],
        "satisfied_rate": pa.array([0.5, 0.25, 0.75, 0.1], pa.float32()),
    }
)
RULES = SparseRows(  # a → c .4, b → a .5
    np.array([0, 1, 2, 2, 2]), np.array([2, 0], np.int32), np.array([0.4, 0.5], np.float32)
)
SEGMENTS = Segments(
    {"": 0, "user_country=ma": 1},
    SparseRows(np.array([0, 2, 4]), np.array([0, 1, 0, 2], np.int32), np.array([0.2, 0.3, 0.1, 0.6], np.float32)),
)


@pytest.fixture(scope="module")
def table():
    return ItemTable.of(ITEMS, COUNTERS, VECTORS, cycle_spec(price=False), RULES, SEGMENTS)


def query(table, names, gaps=(), since=0.0, time=DAY):
    rated = {"token_event_type": ["rating"] * len(names), "token_value": [4.0] * len(names)}
    tokens = rated | {"token_item_id": names, "token_gap": [math.nan, *gaps][: len(names)]}
    return PairQuery.of(time, tokens, since, table)


def features(table, queries, request, positions, scores):
    out = pair_features(table, queries, np.array(request), np.array(positions), np.array(scores, np.float32))
    return [dict(zip(pair_names(table.matches, table.shares.names), row.tolist(), strict=True)) for row in out]


def test_every_feature_of_a_candidate(table):
    asked = query(table, ["a", "b", "a", "unheard of"], gaps=[86400.0, 86400.0, 43200.0], since=43200.0)
    a, c = features(table, [asked], [0, 0], [0, 2], [0.2, 0.9])
    assert a == pytest.approx(
        {
            "score": 0.2,
            "log_rank": math.log(3),
            "log_events": math.log(10),
            "log_lately": math.log(5),
            "satisfied_rate": 0.5,
            "window_events": math.log(3),
            "window_recency": 1 / 2,  # one day: half a day to the last event, half a day to the query
            "similarity_mean": 2 / 3,
            "similarity_max": 1.0,
            "similarity_last": 1.0,
            "shared_mean": (3 / 4 + 2 / 4) / 2,  # of four events three are in x, two in x/1
            "shared_max": 3 / 4,
            "age": math.log(11),
            "age_known": 1.0,
            "co_visitation": 0.5 * 3**-STEPS,  # after b, two moments before the last event
            "co_visitation_rank": math.log(3),  # c is before it
            "again": 2**-STEPS + 4**-STEPS,
            "again_rank": math.log(2),
            "popularity": math.log(1 + 2000),  # a fifth of what everyone takes
            "popularity_rank": math.log(2),
            "satisfied_before": (0.5 + 0.75 + 0.5) / 8,  # less the items' rates; tests/test_satisfaction.py
            "satisfied_lately": (0.5 * 2**-STEPS + 0.75 * 3**-STEPS + 0.5 * 4**-STEPS)
            / (2**-STEPS + 3**-STEPS + 4**-STEPS + 5),
            "satisfied_alike": 2 * 0.5 / (2 + 5),
            "satisfied_shared": ((0.5 + 0.75 + 0.5) / (3 + 5) + (0.5 + 0.5) / (2 + 5)) / 2,
            "past_events": math.log(3),  # as of the window: tests/test_habits.py
            "past_recency": 1 / 2,
            "due": 1 / (1 + 2),  # two days from the one to the other, and a day since
            "past_hour": 1.0,
            "past_weekday": (near(1 / 7) + near(3 / 7)) / 2,
            "ease": 0.0,
            "ease_rank": math.log(2),
            # Of three events all are in x and two in x/1, of everyone's ten of fourteen: tests/test_affinity.py
            "affinity:item_category": math.log((3 * 14 / 10 + 100) / 103 * (2 * 14 / 10 + 100) / 103) / 2,
            # Of them one day ago counts 1 / 2, two 1 / 3, three 1 / 4: in x all, in x/1 all but the second.
            "lately:item_category": math.log((13 / 12 * 1.4 + 100) * (3 / 4 * 1.4 + 100) / (13 / 12 + 100) ** 2) / 2,
            "visit:item_category": 0,  # the last event is half a day ago
        },
        rel=1e-5,
    )
    assert c["log_rank"] == pytest.approx(math.log(2))
    assert c["co_visitation"] == pytest.approx(0.4 * (2**-STEPS + 4**-STEPS), rel=1e-5)
    assert (c["co_visitation_rank"], c["again"], c["popularity"]) == (pytest.approx(math.log(2)), 0, 0)
    assert c["again_rank"] == c["popularity_rank"] == pytest.approx(math.log(3))
    assert c["window_events"] == c["window_recency"] == c["shared_mean"] == c["shared_max"] == 0
    assert c["similarity_mean"] == pytest.approx((0.6 + 0.8 + 0.6) / 3)
    assert c["age"] == 0  # created after the query
    assert c["age_known"] == 1


def test_a_release_of_before_has_no_affinity_and_no_hours_of_own_events(table):
    """Its ranker has so many inputs, in this order."""
    asked, place, score = query(table, ["a"], since=60.0), np.zeros(4, np.int64), np.zeros(4, np.float32)
    forms = [table, *(replace(table, form=form) for form in (7, 6, 4, 3, 2))]
    whole, newest, late, now, lately, before = (pair_features(t, [asked], place, np.arange(4), score) for t in forms)
    names = [pair_names([], ["item_category"], form) for form in (8, 7, 5, 4, 3, 2)]
    own, linear = PAIR_FEATURES[:-2], PAIR_FEATURES[-2:]
    affine = (*own, "affinity:item_category")
    of_late = (*affine, "lately:item_category")
    first, *others = names
    assert linear == LINEAR and first == (*PAIR_FEATURES, *others[0][len(own) :])
    assert others == [(*of_late, "visit:item_category"), of_late, affine, own, own[:-2]]
    assert np.delete(whole, [len(own), len(own) + 1], axis=1).tolist() == newest.tolist()
    assert late.tolist() == newest[:, :-1].tolist() and newest[:, -1].any()
    assert now.tolist() == late[:, :-1].tolist() and late[:, -1].any()
    assert lately.tolist() == now[:, :-1].tolist() and now[:, -1].any()
    share = PAIR_FEATURES.index("popularity")
    assert before[:, share] == pytest.approx(np.expm1(now[:, share]) / 1e4, rel=1e-5) and before[0, share] > 0
    assert np.delete(before, share, axis=1).tolist() == np.delete(lately[:, :-2], share, axis=1).tolist()


def test_what_is_taken_together_counts_as_what_follows(table):
    other = replace(table, ease=RULES, rules=SparseRows.empty(4))
    asked, place, score = query(table, ["a", "b"], [60.0]), np.zeros(4, np.int64), np.zeros(4, np.float32)
    follows, together = (pair_features(t, [asked], place, np.arange(4), score) for t in (table, other))
    columns = [[PAIR_FEATURES.index(f"{name}{end}") for end in ("", "_rank")] for name in ("co_visitation", "ease")]
    assert together[:, columns[1]].tolist() == follows[:, columns[0]].tolist() and follows[:, columns[0][0]].any()
    assert together[:, columns[0]].tolist() == follows[:, columns[1]].tolist()
    new = ITEMS.slice(0, 1).set_column(0, "item_id", [["e"]])
    grown = other.with_items(new, np.ones((1, 2), np.float32), cycle_spec(price=False))
    assert len(grown.ease) == 5 and not grown.ease.indptr[-1] - grown.ease.indptr[-2]


def test_without_history_and_without_values(table):
    b, d = features(table, [query(table, [])], [0, 0], [1, 3], [0.5, 0.5])
    assert [b["log_rank"], d["log_rank"]] == pytest.approx([math.log(2), math.log(3)])  # a tie keeps its order
    assert b["age"] == b["age_known"] == 0
    for row in (b, d):
        names = [
            name for name in PAIR_FEATURES if name.startswith(("window", "similarity", "shared", "satisfied_before"))
        ]
        assert all(row[name] == 0 for name in names)


def test_what_is_not_listed_has_its_rank_and_moves_no_other(table):
    queries = [query(table, ["a"]), query(table, [])]
    request, positions = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 0, 1])
    scores = np.array([0.9, 0.5, 0.2, 0.5, 0.1, 0.8], np.float32)
    listed = np.array([True, True, True, False, True, False])
    found = pair_features(table, queries, request, positions, scores, listed)[:, PAIR_FEATURES.index("log_rank")]
    assert np.expm1(found) == pytest.approx([1, 2, 3, 3, 1, 1])


def test_several_queries_at_once_are_each_alone(table):
    queries = [
        query(table, ["a", "c"], gaps=[60.0], since=5.0),
        query(table, []),
        query(table, ["d", "d", "b"], gaps=[1.0, 2.0], since=86400.0, time=DAY + 7),
    ]
    positions = [[0, 1, 2, 3], [2], [3, 1, 0]]
    scores = [[0.1, 0.4, 0.3, 0.2], [0.0], [0.5, 0.6, 0.7]]
    request = np.repeat([0, 1, 2], [4, 1, 3])
    together = pair_features(
        table, queries, request, np.concatenate(positions), np.concatenate(scores).astype(np.float32)
    )
    alone = [
        pair_features(table, [q], np.zeros(len(p), np.int64), np.array(p), np.array(s, np.float32))
        for q, p, s in zip(queries, positions, scores, strict=True)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-6)
    assert together.dtype == np.float32 and together.shape == (8, len(PAIR_FEATURES) + 3)


def test_equals_share_a_place_whatever_their_order(table):
    found = pair_features(
        table, [query(table, [])], np.zeros(4, np.int64), np.array([3, 1, 2, 0]), np.ones(4, np.float32)
    )
    assert np.expm1(found[:, PAIR_FEATURES.index("popularity_rank")]) == pytest.approx([3, 1, 3, 2])
    assert np.expm1(found[:, PAIR_FEATURES.index("co_visitation_rank")]) == pytest.approx([1, 1, 1, 1])


def test_a_user_is_of_known_segments_or_of_everyone(table):
    tokens = dict[str, list](token_item_id=[], token_gap=[], token_event_type=[])
    asked = [PairQuery.of(DAY, tokens, 0.0, table, {"user_country": country}) for country in ("ma", "tr")]
    known, unknown = features(table, asked, [0, 1], [2, 1], [0.0, 0.0])
    assert [known["popularity"], unknown["popularity"]] == pytest.approx([math.log(6001), math.log(3001)])


def test_events_of_one_time_are_one_moment(table):
    asked = query(table, ["a", "b", "b"], gaps=[60.0, 0.0], since=5.0)
    assert asked.moments.tolist() == [1, 0, 0]
    [a] = features(table, [asked], [0], [0], [0.0])
    assert a["co_visitation"] == pytest.approx(1.0)  # after both b
    assert a["again"] == pytest.approx(2**-STEPS)


def test_no_candidates(table):
    assert pair_features(
        table, [query(table, ["a"])], *(np.zeros(0, np.int64),) * 2, np.zeros(0, np.float32)
    ).shape == (
        0,
        len(PAIR_FEATURES) + 3,
    )


def test_parts_of_different_items_are_refused():
    with pytest.raises(SoukError, match="same items"):
        ItemTable.of(ITEMS, COUNTERS.slice(1), VECTORS, cycle_spec(price=False))
