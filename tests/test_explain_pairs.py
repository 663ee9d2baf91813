"""Where pair features start in an explanation, and which past events they come from."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from souk.config import BuildFeatures, Columns
from souk.habits import Habit
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import HOURS, PAIR_FEATURES, pair_features, pair_names
from souk.satisfaction import DOUBT, likeness
from souk.schema import DAY_MS
from souk.serving.explain.names import plain_name
from souk.serving.explain.pairs import (
    COLUMN,
    HISTORY,
    OWN,
    RANKED,
    beside,
    divided,
    guesses,
    plain_value,
    shares,
    start,
    votes,
)
from souk.sources.co_visitation import decay
from souk.sources.rows import SparseRows
from tests.models_fixtures import cycle_spec

NOW = 20_000 * DAY_MS
NAMES = ["a", "b", "c", "d"]
CATEGORIES = [["s", "s/0"], ["s", "s/1"], ["s", "s/0"], ["t"]]


@pytest.fixture(scope="module")
def items():
    """Four items: a and c share all categories, d none with them; after a comes c, after b a little less."""
    random = np.random.default_rng(2)
    vectors = random.normal(size=(4, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = pa.table({"item_id": NAMES, "item_category": CATEGORIES, "created_at": pa.array([None] * 4, pa.int64())})
    counters = pa.table(
        {"item_id": NAMES, "events": [4.0, 3.0, 2.0, 1.0], "events_30d": [1.0] * 4, "satisfied_rate": [0.5] * 4}
    )
    rules = SparseRows.strongest(np.array([0, 1]), np.array([2, 2]), np.array([1.0, 0.5]), 4, 9)
    spec = cycle_spec(columns=cycle_spec().columns.model_copy(update={"items": {"category": "path"}, "widths": {}}))
    return ItemTable.of(table, counters, vectors, spec, rules)


def asked(items, names, habits=None):
    """A query after these items, a day apart, the last a day ago; before them came the habits."""
    gaps = [float("nan"), *[86_400.0] * (len(names) - 1)][: len(names)]
    rated = {
        "token_event_type": ["rating"] * len(names),
        "token_value": [[5.0, 1.0, 4.0][n % 3] for n in range(len(names))],
    }
    return PairQuery.of(NOW, {"token_item_id": names, "token_gap": gaps, **rated}, 86_400.0, items, None, habits)


def features(items, query, position):
    positions = np.arange(4)
    pair = pair_features(items, [query], np.zeros(4, np.int64), positions, np.zeros(4, np.float32))
    return dict(zip(pair_names(items.matches, items.shares.names), pair[position].tolist(), strict=True))


def surprise(query):
    return np.nan_to_num(query.surprise)


def weights(items, query, name):
    """What the surprises count for in all, for the third item."""
    known = query.items >= 0
    if name == "lately":
        return decay(query.moments)[known].sum()
    return known.sum() if name == "before" else likeness(items, query.items[known], np.array([2])).sum()


OLD = {name: Habit(3, NOW - 40 * DAY_MS, NOW - 30 * DAY_MS) for name in ("b", "c", "gone")}


@pytest.mark.parametrize("habits", [{}, OLD])
@pytest.mark.parametrize("names", [["a", "b", "d"], ["c", "a", "c", "b"], ["gone", "b"], ["gone"], []])
def test_the_votes_of_events_make_the_feature_that_they_are_votes_for(items, names, habits):
    query = asked(items, names, habits)
    found, given = features(items, query, 2), votes(items, query, 2)
    longer = {
        "again",
        "again_rank",
        "past_events",
        "past_recency",
        "due",
        *HOURS,
        "affinity:item_category",
        "lately:item_category",
        "visit:item_category",
    }  # what was before has a part too
    assert all(len(parts) == len(names) + (name in longer) for name, parts in given.items())
    assert given["again"].sum() == pytest.approx(found["again"], abs=1e-6)
    assert given["co_visitation"].sum() == pytest.approx(found["co_visitation"], abs=1e-6)
    assert np.log1p(given["window_events"].sum()) == pytest.approx(found["window_events"], abs=1e-6)
    assert np.log1p(given["past_events"].sum()) == pytest.approx(found["past_events"], abs=1e-6)
    last = max((n for n, name in enumerate(names) if name == "c"), default=len(names) if habits else None)
    assert np.flatnonzero(given["past_recency"]).tolist() == ([] if last is None else [last])
    assert given["due"].tolist() == given["past_events"].tolist() and given["due"][-1] == 3 * bool(habits)
    for name in HOURS:
        assert (
            given[name].sum() == pytest.approx(found[name] * given["past_events"].sum(), abs=1e-5)
            and given[name].min() >= 0
        )
    known = sum(name != "gone" for name in names)
    assert given["similarity_mean"].sum() / max(known, 1) == pytest.approx(found["similarity_mean"], abs=1e-6)
    for name in ("similarity_last", "similarity_max"):
        cosines = given["similarity_mean"] * given[name]
        assert cosines.sum() == pytest.approx(found[name], abs=1e-6) and given[name].sum() == min(known, 1)
    size = max(len(names), 1)  # the candidate has two values
    assert given["shared_mean"].sum() / 2 / size == pytest.approx(found["shared_mean"], abs=1e-6)
    assert given["shared_max"].sum() / size == pytest.approx(found["shared_max"], abs=1e-6)
    for name in ("before", "lately", "alike"):
        whole = given[f"satisfied_{name}"].sum()
        drawn = found[f"satisfied_{name}"] * (weights(items, query, name) + DOUBT)
        assert whole == pytest.approx(drawn, abs=1e-6)
    liked = found["affinity:item_category"] > 0  # tests/test_affinity.py
    assert given["affinity:item_category"].tolist() == [*(given["shared_mean"] * liked), 9 * bool(habits) * liked]
    late = given["shared_mean"] / (1 + np.arange(len(names), 0, -1)) * (found["lately:item_category"] > 0)
    assert given["lately:item_category"] == pytest.approx([*late, 0]), "the last a day ago; a habit is none of late"
    assert not given["visit:item_category"].any(), "there is none"
    assert np.sign(given["satisfied_shared"]).tolist() == np.sign(given["shared_mean"] * surprise(query)).tolist()


def test_what_a_visit_goes_to_is_that_of_its_events(items):
    """The visit began with b: c is of a day before. The candidate has both values of b, and a value of a."""
    tokens = {"token_item_id": ["c", "b", "a"], "token_gap": [float("nan"), 86_400.0, 60.0]}
    tokens |= {"token_event_type": ["rating"] * 3, "token_value": [5.0] * 3}
    query = PairQuery.of(NOW, tokens, 60.0, items, None, OLD)
    found, given = features(items, query, 2)["visit:item_category"], votes(items, query, 2)
    assert found > 0 and given["shared_mean"][0] > 0
    assert given["visit:item_category"].tolist() == [0, *given["shared_mean"][1:], 0]


def test_what_was_bought_goes_to_the_events_that_bought_it(items):
    tokens = {"token_item_id": ["a", "b", "a"], "token_gap": [float("nan"), 86_400.0, 86_400.0]}
    tokens |= {"token_event_type": ["purchase", "click", "click"], "token_value": [5.0] * 3}
    told = replace(items, acts=("click", "purchase"))
    given = votes(told, PairQuery.of(NOW, tokens, 86_400.0, told), 2)
    assert given["bought:item_category"] == pytest.approx([given["shared_mean"][0] / 4, 0, 0, 0])
    assert given["shared_mean"].all()
    assert plain_name("bought:item_category") == "how much of what the user bought of late goes to the item's category"


def test_without_a_history_a_candidate_starts_where_its_features_are(items):
    query = asked(items, [])
    pair = pair_features(items, [query], np.zeros(4, np.int64), np.arange(4), np.zeros(4, np.float32))
    first = start(pair_names([], items.shares.names), pair, pair[1:], 0.0)
    assert first[-1] == pair[0, -1] == 0
    for name in (*HISTORY, *RANKED):
        assert first[COLUMN[name]] == pytest.approx(pair[0, COLUMN[name]], abs=1e-6), name
    assert first[COLUMN["log_events"]] == pytest.approx(pair[:, COLUMN["log_events"]].mean())


def test_what_it_has_in_common_with_the_user_starts_where_the_mean_candidate_is():
    candidates = np.zeros((4, len(COLUMN) + 1))
    candidates[:, -1] = [1, 0, 0, 1]
    assert start([*PAIR_FEATURES, "match:a:b"], candidates, candidates, 0.5)[-1] == 0.5
    candidates[:, [COLUMN[name] for name in HISTORY]] = 1
    first = start([*PAIR_FEATURES, "match:a:b"], candidates, candidates, 0.5)
    assert [first[COLUMN[name]] for name in (*HOURS, "past_events", "due")] == [0, 0, 0, 0]


def test_what_an_item_has_by_itself_is_beside_the_mean_candidate_where_its_path_starts():
    names = [*PAIR_FEATURES, "near:item_price", "response"]
    candidates = np.zeros((3, len(names)), np.float32)
    candidates[:, COLUMN["popularity"]], candidates[:, COLUMN["age"]] = [0.1, 0.2, 0.6], [4, 4, 1]
    candidates[:, -1] = [0.5, 0.2, -0.7]  # chosen less than usual where it is shown
    candidates[:, COLUMN["log_events"]] = 5.7  # not the mean of itself in float32
    first = start(names, candidates, candidates[1:], 0.0)
    told = [beside(names, own, candidates) for own in candidates]
    assert told[2] == dict.fromkeys(OWN, 0) | {"popularity": 1, "age": -1, "response": -1}
    assert "response" not in beside(names[:-1], candidates[0, :-1], candidates[:, :-1]), "where no log tells"
    for own, found in zip(candidates, told, strict=True):
        for name in ("popularity", "age"):
            assert found[name] == np.sign(own[COLUMN[name]] - first[COLUMN[name]]) != 0


def test_the_place_at_the_start_is_that_of_the_score_there():
    others = np.zeros((3, len(PAIR_FEATURES)))
    others[:, COLUMN["score"]] = [0.9, 0.5, 0.1]
    places = [np.expm1(start(PAIR_FEATURES, others, others, score)[COLUMN["log_rank"]]) for score in (1.0, 0.6, 0.0)]
    assert places == pytest.approx([1, 2, 4])


def test_shares_are_parts_of_one_with_the_sign_of_the_whole():
    assert shares(np.array([3.0, 1.0])).tolist() == [0.75, 0.25]
    assert shares(np.array([-3.0, 1.0, -1.0])).tolist() == [0.75, 0, 0.25]
    assert shares(np.zeros(2)).tolist() == [0, 0] and shares(np.zeros(0)).tolist() == []


def test_what_no_event_voted_for_stays_with_the_feature():
    given = {"again": np.array([0.0, 2.0]), "co_visitation": np.zeros(2)}
    events, rest = divided({"again": 1.5, "co_visitation": 0.25, "age": -1.0}, given, 2)
    assert events.tolist() == [0, 1.5] and rest == {"co_visitation": 0.25, "age": -1.0}


def test_what_was_before_the_window_stays_with_the_feature():
    events, rest = divided({"again": 2.0, "due": 1.0}, {"again": np.array([0.0, 1.0, 3.0]), "due": np.zeros(3)}, 2)
    assert events.tolist() == [0, 0.5] and rest == {"again": 1.5, "due": 1.0}


def test_the_item_of_the_last_event_is_its_youngest(items):
    query = asked(items, ["c", "a", "c"])
    assert votes(items, query, 2)["window_recency"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("log_events", math.log(10), 9),
        ("past_events", math.log(138), 137),
        ("again_rank", math.log(3), 2),
        ("past_recency", 1 / 4, 3),
        ("window_recency", 0.0, None),
        ("due", 0.6, 1.5),
        ("due", 0.0, None),
        ("due", 1.0, 1e9),
        ("similarity_max", 0.5, 0.5),
        ("popularity", math.log(21), 0.002),
    ],
)
def test_a_value_is_told_as_people_count(name, value, told):
    assert plain_value(name, value) == pytest.approx(told)


def test_a_release_of_before_has_the_share_itself():
    assert plain_value("popularity", 0.2, form=2) == 0.2


def test_what_a_user_does_not_state_comes_from_the_events_that_tell_it():
    """b is of another town, the third is not known any more."""
    matched = [["user_home", "item_city"], ["user_likes", "item_tags"], ["context_place", "item_city"]]
    columns = {
        "users": {"home": "categorical", "likes": "list"},
        "events": {"place": "categorical"},
        "items": {"city": "categorical", "tags": "list"},
    }
    spec = cycle_spec(columns=Columns.model_validate(columns), build=BuildFeatures(history_length=8, matches=matched))
    tags = pa.array([["fes", "jazz"], ["jazz"], []], pa.list_(pa.string()))
    table = pa.table({"item_id": ["a", "b", "c"], "item_city": ["fes", "rabat", "fes"], "item_tags": tags})
    counters = pa.table(
        {"item_id": ["a", "b", "c"]} | {n: [1.0] * 3 for n in ("events", "events_30d", "satisfied_rate")}
    )
    items = ItemTable.of(table, counters, np.eye(3, dtype=np.float32), spec)
    query = asked(items, ["a", "b", "gone", "c"])
    towns, tastes = "match:user_home:item_city", "match:user_likes:item_tags"
    found = {name: votes.tolist() for name, votes in guesses(items, query, 0, {"user_likes": ["", ""]}).items()}
    assert found == {towns: [1, 0, 0, 1], tastes: [2, 1, 0, 0]}
    assert guesses(items, query, 2, {})[tastes].tolist() == [0, 0, 0, 0]
    assert guesses(items, query, 0, {"user_home": "fes"}).keys() == {tastes}
    assert guesses(items, query, 0, {"user_home": "paris", "user_likes": ["jazz"]}) == {}
    assert guesses(items, asked(items, []), 0, {})[towns].tolist() == []


def test_what_was_guessed_from_the_history_starts_at_nothing():
    candidates = np.ones((4, len(COLUMN) + 2))
    names = [*PAIR_FEATURES, "match:a:b", "match:c:d"]
    assert start(names, candidates, candidates, 0.5, ["match:c:d"])[len(COLUMN) :].tolist() == [1, 0]


def test_a_release_of_before_has_its_matches_where_the_hours_are_now():
    names = pair_names([("user_home", "item_city")], ["item_city"], form=2)
    candidates = np.ones((4, len(names)))
    first = start(names, candidates, candidates, 0.5)
    assert names[-2:] == ("due", "match:user_home:item_city") and first[-2:].tolist() == [0, 1]
