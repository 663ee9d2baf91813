"""Values of an item that are the user's or the visit's own, by hand, and in pair features."""

import math

import numpy as np
import pyarrow as pa
import pytest

from souk.config import BuildFeatures, Columns
from souk.items import ItemTable
from souk.matches import matched, own_values, own_words
from souk.pair_query import PairQuery
from souk.pairs import PAIR_FEATURES, pair_features, pair_names
from souk.valued import Valued
from tests.models_fixtures import cycle_spec

MATCHED = (("user_home", "item_city"), ("context_place", "item_city"), ("user_likes", "item_tags"))
COLUMNS = {
    "users": {"home": "categorical", "likes": "list"},
    "events": {"place": "categorical"},
    "items": {"city": "categorical", "tags": "list"},
}


def spec(matches=MATCHED):
    return cycle_spec(
        columns=Columns.model_validate(COLUMNS),
        build=BuildFeatures(history_length=8, matches=[list(pair) for pair in matches]),
    )


def rows(*items):
    return pa.table(
        {
            "item_id": [item for item, *_ in items],
            "item_city": [city for _, city, _ in items],
            "item_tags": pa.array([tags for *_, tags in items], pa.list_(pa.string())),
        }
    )


def table(matches=MATCHED):
    items = rows(("a", "fes", ["jazz", "rock"]), ("b", "rabat", []), ("c", "", ["fes", "jazz"]))
    counters = pa.table({"item_id": list("abc"), **{n: [0.0] * 3 for n in ("events", "events_30d", "satisfied_rate")}})
    return ItemTable.of(items, counters, np.eye(3, dtype=np.float32), spec(matches))


def counts(items, *askers, window=()):
    """By match, asker and item."""
    own = [own_values(items, asker, np.array(window, np.int64)) for asker in askers]
    request = np.repeat(np.arange(len(askers)), len(items.position))
    positions = np.tile(np.arange(len(items.position)), len(askers))
    found = matched(items, own, request, Valued.of(items, positions))
    return [column.reshape(len(askers), -1).tolist() for column in found]


NONE = [0, 0, 0]


@pytest.mark.parametrize(
    ("asker", "home", "place", "likes"),
    [
        ({"user_home": "fes"}, [1, 0, 0], NONE, NONE),  # the tag fes is no city
        ({"user_home": "fes", "context_place": "rabat"}, [1, 0, 0], [0, 1, 0], NONE),
        ({"user_home": "fes", "context_place": "fes"}, [1, 0, 0], [1, 0, 0], NONE),  # lives there, and is there
        ({"user_likes": ["rock", "jazz", "jazz", "fes"]}, NONE, NONE, [2, 0, 2]),
        ({"user_likes": ["", ""], "user_home": ""}, NONE, NONE, NONE),
        ({"user_home": "paris", "user_country": "rabat"}, NONE, NONE, NONE),
        ({"user_home": None}, NONE, NONE, NONE),
        ({}, NONE, NONE, NONE),
    ],
)
def test_values_that_are_the_askers_own_are_counted(asker, home, place, likes):
    items = table()
    assert counts(items, asker) == [[home], [place], [likes]]
    several = counts(items, {}, asker, {"user_home": "rabat"})
    assert several == [[NONE, home, [0, 1, 0]], [NONE, place, NONE], [NONE, likes, NONE]]


A, B, C = range(3)


@pytest.mark.parametrize(
    ("window", "home", "likes"),
    [
        ([A], [1, 0, 0], [2, 0, 1]),  # a has jazz and rock, c has jazz
        ([A, B], [0.5, 0.5, 0], [1, 0, 0.5]),
        ([A, B, A, A], [0.75, 0.25, 0], [1.5, 0, 0.75]),
        ([A, -1, -1, B], [0.25, 0.25, 0], [0.5, 0, 0.25]),  # two that are no longer known
        ([C], NONE, [1, 0, 2]),  # the tag fes is no city
        ([-1], NONE, NONE),
    ],
)
def test_of_who_states_nothing_what_was_looked_at_is_their_own(window, home, likes):
    """Where the visit is has no part in it."""
    items = table()
    for asker in ({}, {"user_home": "", "user_likes": ["", ""]}, {"user_home": None, "user_likes": []}):
        assert counts(items, asker, window=window) == [[home], [NONE], [likes]]
    stated = {"user_home": "rabat", "user_likes": ["rock"]}
    assert counts(items, stated, window=window) == [[[0, 1, 0]], [NONE], [[1, 0, 0]]]
    assert counts(items, {"user_home": "paris"}, window=window) == [[NONE], [NONE], [likes]]
    several = counts(items, stated, {}, window=window)
    assert several == [[[0, 1, 0], home], [NONE, NONE], [[1, 0, 0], likes]]


def test_what_they_have_in_common_is_told_in_words():
    asker = {"user_home": "fes", "context_place": "rabat", "user_likes": ["jazz", "folk"]}
    said = [[own_words(table(), asker, match, place) for match in MATCHED] for place in range(3)]
    assert said == [[["fes"], [], ["jazz"]], [[], ["rabat"], []], [[], [], ["jazz"]]]


def test_a_query_that_was_not_asked_matches_nothing():
    """`PairQuery.own` is empty where nothing is asked of it."""
    items = table()
    asked = [(), own_values(items, {"user_home": "fes"}, np.zeros(0, np.int64))]
    found = matched(items, asked, np.array([0, 0, 1]), Valued.of(items, np.array([0, 1, 0])))
    assert [column.tolist() for column in found] == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_a_new_item_of_a_new_city_matches_at_once():
    items = table().with_items(rows(("d", "agadir", [])), np.zeros((1, 3), np.float32), spec())
    assert counts(items, {"user_home": "agadir"}) == [[[0, 0, 0, 1]], [[0] * 4], [[0] * 4]]


def test_a_word_that_no_item_has_any_more_matches_nothing():
    """Its number is beyond those of the others: it would be one of the next query's."""
    items = table()
    last = max(items.numbers, key=items.numbers.get)
    assert last == ("item_tags", "fes")
    items = items.with_items(rows(("c", "", [])), np.zeros((1, 3), np.float32), spec())
    assert counts(items, {"user_likes": ["fes"]}, {}) == [[NONE, NONE]] * 3


@pytest.mark.parametrize("matches", [MATCHED, ()])
def test_pairs_have_the_feature_where_columns_match(matches):
    items = table(matches)
    tokens = {"token_item_id": [], "token_gap": [], "token_event_type": [], "token_value": []}
    asked = [PairQuery.of(9, tokens, math.nan, items, asker) for asker in ({"user_home": "rabat"}, None)]
    found = pair_features(items, asked, np.array([0, 0, 1]), np.array([1, 2, 1]), np.zeros(3, np.float32))
    names = pair_names(matches, items.shares.names)
    affine = [f"{taste}:{name}" for taste in ("affinity", "lately", "visit") for name in ("item_city", "item_tags")]
    assert names == (*PAIR_FEATURES, *(f"match:{own}:{theirs}" for own, theirs in matches), *affine)
    assert found.shape == (3, len(names)) and found.dtype == np.float32
    assert found[:, len(PAIR_FEATURES) : -len(affine)].tolist() == [
        [1, 0, 0][: len(matches)],
        [0] * len(matches),
        [0] * len(matches),
    ]


def test_without_matches_nothing_is_known_of_them():
    """Specs of before there were any, and of data without, are the same: their hash names stores and releases."""
    columns = Columns.model_validate(COLUMNS)
    plain, auto, none = (
        cycle_spec(columns=columns, build=BuildFeatures.model_validate({"history_length": 8, **given}))
        for given in ({}, {"matches": "auto"}, {"matches": []})
    )
    assert plain.matches == auto.matches == none.matches == ()
    assert plain.hash == auto.hash == none.hash
    assert '"matches"' not in plain.to_json()
    read = type(plain).from_json(spec().to_json())
    assert read.matches == MATCHED and read.hash == spec().hash != plain.hash
