"""How much of a past goes to each value: answers by hand."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from souk.affinity import AFFINITY, BOUGHT, LATELY, TASTES, VISIT, Taste, tastes_of
from souk.config import Columns
from souk.items import FORM, ItemTable
from souk.pair_query import PairQuery
from souk.pairs import LINEAR, PAIR_FEATURES, pair_features, pair_names
from souk.schema import DAY_MS
from souk.value_shares import UNKNOWN
from tests.models_fixtures import cycle_spec

ITEMS = {"item_id": ["a", "b", "c", "d", "e"], "item_brand": ["n", "n", "m", "", "m"]}
TAGS = [["red", "wool"], ["red"], ["wool"], ["blue"], []]
EVENTS = [6.0, 2.0, 8.0, 4.0, 0.0]
COLUMNS = Columns.model_validate({"items": {"brand": "categorical", "tags": "list", "price": "numeric"}})


def rows(*wanted):
    table = pa.table(
        ITEMS | {"item_tags": TAGS, "item_price": [1.0] * 5, "created_at": pa.array([None] * 5, pa.int64())}
    )
    return table.take(list(wanted))


def counters(names, events):
    return pa.table({"item_id": names, "events": events, "events_30d": events, "satisfied_rate": [0.5] * len(names)})


@pytest.fixture(scope="module")
def items():
    counters = pa.table(
        {"item_id": ITEMS["item_id"], "events": EVENTS, "events_30d": EVENTS, "satisfied_rate": [0.5] * 5}
    )
    return ItemTable.of(rows(*range(5)), counters, np.eye(5, dtype=np.float32), cycle_spec(columns=COLUMNS))


def told(items, past, positions):
    """The affinities of items after a past that is given as items and how many events with each."""
    taste = Taste.of(items, np.array([*past], np.int64), np.array([*past.values()], np.float64))
    found = taste.affinities(items, np.array(positions, np.int64))
    assert found.shape == (len(items.shares.names), len(positions))
    return dict(zip(items.shares.names, found.tolist(), strict=True))


def likelier(count, whole, share, concentration=UNKNOWN):
    return math.log((count + concentration * share) / ((whole + concentration) * share))


def test_shares_are_of_what_everyone_took_that_says_anything(items):
    assert items.shares.names == ("item_brand", "item_tags")
    found = dict(zip(items.words, items.shares.shares.tolist(), strict=True))
    brands = {"n": 9 / 18, "m": 9 / 18}  # of 16 events with a brand, one more with and one more without
    tags = {"red": 9 / 22, "wool": 15 / 22, "blue": 5 / 22}  # a says two, and is one item
    expected = {("item_brand", k): v for k, v in brands.items()} | {("item_tags", k): v for k, v in tags.items()}
    assert found == pytest.approx(expected)


def test_a_value_is_likelier_by_what_the_past_has_of_it(items):
    found = told(items, {0: 3.0, 2: 1.0, 3: 2.0}, range(5))
    n, m = likelier(3, 4, 9 / 18), likelier(1, 4, 9 / 18)  # d has no brand: it is none of the four
    assert found["item_brand"] == pytest.approx([n, n, m, 0, m], abs=1e-6) and n > 0 > m
    red, wool, blue = likelier(3, 6, 9 / 22), likelier(4, 6, 15 / 22), likelier(2, 6, 5 / 22)
    assert found["item_tags"] == pytest.approx([(red + wool) / 2, red, wool, blue, 0], abs=1e-6)


def test_a_past_that_is_everyones_says_nothing_and_a_longer_one_says_more(items):
    usual = {0: 9.0, 2: 9.0}
    assert told(items, usual, [0, 2])["item_brand"] == pytest.approx([0, 0], abs=1e-6)
    one, ten, many = (told(items, {0: n}, [1])["item_brand"][0] for n in (1.0, 10.0, 1e7))
    assert 0 < one < ten < many == pytest.approx(math.log(18 / 9), rel=1e-4)


def test_without_a_past_nothing_is_told(items):
    assert told(items, {}, [0, 3]) == {"item_brand": [0, 0], "item_tags": [0, 0]}
    assert told(items, {0: 2.0}, []) == {"item_brand": [], "item_tags": []}
    assert told(items, {4: 2.0}, [0])["item_tags"] == [0], "e says nothing of tags"


def test_a_feature_with_which_users_stay_says_more_of_the_same_past():
    names = {"concentration:item_brand": [1.0] * 5, "concentration:item_tags": [1000.0] * 5}
    more = counters(ITEMS["item_id"], EVENTS)
    for name, values in names.items():
        more = more.append_column(name, pa.array(values))
    items = ItemTable.of(rows(*range(5)), more, np.eye(5, dtype=np.float32), cycle_spec(columns=COLUMNS))
    found = told(items, {1: 4.0}, [1, 2])
    assert found["item_brand"] == pytest.approx([likelier(4, 4, 9 / 18, 1), likelier(0, 4, 9 / 18, 1)], abs=1e-6)
    assert found["item_tags"][0] == pytest.approx(likelier(4, 4, 9 / 22, 1000), abs=1e-6)


def test_preferred_are_the_values_that_tell_most_of_the_past(items):
    """As far as they are likelier than with everyone."""
    taste = Taste.of(items, np.array([0, 2, 3]), np.array([1.0, 1.0, 6.0]))
    words = [items.words[number] for number in taste.preferred(items, 2).tolist()]
    assert words == [("item_tags", "blue")], "of eight events six are blue; n and m are as they are with everyone"
    some = Taste.of(items, np.array([1, 3]), np.array([5.0, 4.0]))
    all_of, both, one = ([items.words[n][1] for n in some.preferred(items, most).tolist()] for most in (9, 2, 1))
    assert (all_of, both, one) == (["n", "red", "blue"], ["n", "blue"], ["blue"])
    assert not len(Taste.of(items, np.zeros(0, np.int64), np.zeros(0)).preferred(items, 2))
    rarer = Taste.of(items, np.array([1, 3]), np.array([5.0, 3.0]))
    assert [items.words[n][1] for n in rarer.preferred(items, 1).tolist()] == ["n"], "blue is likelier, of fewer events"


def test_a_value_that_came_later_is_one_that_nobody_took(items):
    news = pa.table(
        {
            "item_id": ["f"],
            "item_brand": ["new"],
            "item_tags": [["red", "silk"]],
            "item_price": [1.0],
            "created_at": pa.array([None], pa.int64()),
        }
    )
    grown = items.with_items(news, np.zeros((1, 5), np.float32), cycle_spec(columns=COLUMNS))
    found = told(grown, {0: 4.0, 5: 1.0}, [5, 1])
    assert found["item_brand"] == pytest.approx([likelier(1, 5, 1 / 18), likelier(4, 5, 9 / 18)], abs=1e-6)
    red, silk = likelier(5, 5, 9 / 22), likelier(1, 5, 1 / 22)
    assert found["item_tags"] == pytest.approx([(red + silk) / 2, red], abs=1e-6)
    cheaper = grown.with_items(rows(1), np.eye(5, dtype=np.float32)[1:2], cycle_spec(columns=COLUMNS))
    assert cheaper.shares is grown.shares, "a price is no new value"


def test_items_of_which_nothing_is_declared():
    spec = cycle_spec(columns=Columns())
    both = counters(["a", "b"], [1.0, 2.0])
    plain = ItemTable.of(pa.table({"item_id": ["a", "b"]}), both, np.eye(2, dtype=np.float32), spec)
    assert told(plain, {0: 1.0}, [0, 1]) == {}
    empty = pa.table({"item_id": ["a", "b"], "item_brand": ["", ""], "item_tags": [[], []], "item_price": [1.0, 2.0]})
    silent = ItemTable.of(empty, both, np.eye(2, dtype=np.float32), cycle_spec(columns=COLUMNS))
    assert told(silent, {0: 1.0}, [0, 1]) == {"item_brand": [0, 0], "item_tags": [0, 0]}


@pytest.mark.parametrize(("since", "seen"), [(1799.0, True), (1801.0, False)])
def test_of_a_visit_is_what_came_since_the_last_pause_of_half_an_hour(items, since, seen):
    tokens = {"token_item_id": ["c", "b", "a", "d", "gone"], "token_gap": [math.nan, 60.0, 1801.0, 1799.0, 1799.0]}
    tokens |= {"token_event_type": ["rating"] * 5, "token_value": [5.0] * 5}
    asked = PairQuery.of(DAY_MS, tokens, since, items)
    names = pair_names([], items.shares.names)
    found = pair_features(items, [asked], np.zeros(5, np.int64), np.arange(5), np.zeros(5, np.float32))
    found = found[:, len(names) - 2 : len(names)]
    n, m = likelier(1, 1, 9 / 18), likelier(0, 1, 9 / 18)  # a and d, which has no brand
    red, wool, blue = likelier(1, 2, 9 / 22), likelier(1, 2, 15 / 22), likelier(1, 2, 5 / 22)
    expected = [[n, (red + wool) / 2], [n, red], [m, wool], [0, blue], [m, 0]]
    assert found == pytest.approx(np.array(expected) * seen, abs=1e-6)
    assert names[-2:] == ("visit:item_brand", "visit:item_tags")


def test_what_was_bought_of_late_is_told_from_what_was_looked_at(items):
    acts = ("click", "purchase")
    tokens = {"token_item_id": ["a", "b", "d"], "token_gap": [math.nan, 86_400.0, 86_400.0]}
    tokens |= {"token_event_type": ["purchase", "click", "click"], "token_value": [math.nan] * 3}
    looks = tokens | {"token_event_type": ["click"] * 3}
    told = replace(items, acts=acts)
    asked, none = (PairQuery.of(DAY_MS, each, 86_400.0, told) for each in (tokens, looks))
    names = pair_names([], items.shares.names, acts=acts)
    assert names[-2:] == ("bought:item_brand", "bought:item_tags") and BOUGHT not in tastes_of(6, acts)
    place = np.zeros(5, np.int64), np.arange(5), np.zeros(5, np.float32)
    found, without = (pair_features(told, [query], *place)[:, : len(names)] for query in (asked, none))
    of = Taste.of(items, np.array([0]), np.array([1 / 4])).affinities(items, np.arange(5))  # three days ago
    assert found[:, -2:] == pytest.approx(of.T, abs=1e-6) and of.any() and not without[:, -2:].any()
    affine = [name.startswith("affinity:") for name in names]
    assert found[:, affine].tolist() == without[:, affine].tolist(), "of all that was done, whatever it was"


@pytest.mark.parametrize("acts", [(), ("rating", "purchase"), ("click", "cart"), ("purchase", "return")])
def test_where_nobody_looks_before_buying_what_is_bought_is_all_there_is(acts):
    assert tastes_of(FORM, acts) == (AFFINITY, LATELY, VISIT)
    assert tastes_of(FORM, (*acts, "cart", "purchase")) == TASTES


@pytest.mark.parametrize(("form", "fewer"), [(3, 3), (4, 2), (6, 1)])
def test_a_release_of_before_has_fewer_columns_of_several_features(items, form, fewer):
    """Its ranker has no input for what it did not know: one feature alone fits into none, two do not."""
    tokens = {"token_item_id": ["a", "d"], "token_gap": [math.nan, 60.0]}
    tokens |= {"token_event_type": ["rating"] * 2, "token_value": [5.0] * 2}
    before = replace(items, form=form)
    given = np.zeros(5, np.int64), np.arange(5), np.zeros(5, np.float32)
    now, then = (pair_features(t, [PairQuery.of(DAY_MS, tokens, 0.0, t)], *given) for t in (items, before))
    now = np.delete(now, [PAIR_FEATURES.index(name) for name in LINEAR], axis=1)
    names = pair_names([], items.shares.names, form)
    assert then.shape == (5, len(names)) and then.tolist() == now[:, : len(names)].tolist()
    assert len(items.shares.names) == 2 and now.shape[1] == len(names) + 2 * fewer + len(items.levels.names)
