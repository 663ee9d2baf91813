"""How much of a market is about what just came, told by the ages at which items are taken, and what follows from it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.candidates import OWN_VALUES, SHARES, Sources, merged
from souk.features.tables import counters
from souk.features.windows import Windows
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import PAIR_FEATURES, pair_features
from souk.schema import DAY_MS
from souk.sources.freshness import FRESH_DAYS, LEAST_EVENTS, LONGEST, Freshness, freshness
from tests.evaluation_fixtures import make_spec
from tests.marketplace import CONFIG

NOW = 20_000 * DAY_MS
SPEC = make_spec({**CONFIG, "columns": {"items": {"brand": "categorical"}}})
BRANDS = ("a", "b")


@pytest.mark.parametrize("days", [0.5, 3.0, 12.0, 60.0])
def test_the_decay_that_ages_were_drawn_from_is_found(days):
    drawn = np.random.default_rng(3).exponential(days, 40_000)
    found = freshness(drawn)
    assert found.days == pytest.approx(days, rel=0.06 if days < FRESH_DAYS else 0.25)
    assert found.share == pytest.approx(1 - np.exp(-FRESH_DAYS / days), abs=0.01)


def test_what_is_taken_at_any_age_falls_as_slowly_as_can_be():
    even = np.linspace(0, 2 * FRESH_DAYS, 1001)
    assert freshness(even) == Freshness(pytest.approx(0.5, abs=0.001), LONGEST)


def test_ages_that_are_few_or_unknown_say_no_more_than_their_share():
    few = np.concatenate([np.full(LEAST_EVENTS - 1, 0.1), np.full(LEAST_EVENTS + 1, np.nan)])
    assert freshness(few) == Freshness((LEAST_EVENTS - 1) / (2 * LEAST_EVENTS))
    assert freshness(np.zeros(0)) == freshness(np.full(500, np.nan)) == Freshness()


def test_dates_of_creation_that_are_those_of_an_import_tell_no_age():
    assert freshness(np.full(5 * LEAST_EVENTS, -3.0)) == Freshness(), "all was imported after it was taken"
    old = np.concatenate([np.full(200, -3.0), np.full(1800, 90.0)])
    assert freshness(old) == Freshness()
    late, early = (np.concatenate([np.full(50, age), np.full(50, 12.0)]) for age in (0.0, -0.5))
    assert freshness(early) == freshness(late), "clocks differ by hours"
    assert freshness(early).share == 1


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300))
def test_whatever_the_ages_a_decay_can_be_divided_by(ages):
    found = freshness(np.array(ages, np.float64))
    assert 0 <= found.share <= 1 and 0 < found.days <= LONGEST


def test_counters_tell_of_the_thirty_days_before_each_boundary():
    """Item `new` is created on day 95; before the first boundary, on day 100, one engagement in four is with it."""
    items = pa.table({"item_id": ["new", "old", "odd"], "created_at": [95 * DAY_MS, 0, None]})
    rows = [("new", 40)] * 9 + [("new", 96), ("old", 97), ("odd", 98), ("old", 99)] + [("new", 101)] * 12
    names, days = zip(*rows, strict=True)
    examples = {"item_id": list(names), "timestamp": np.array(days) * DAY_MS}
    unknown = {"satisfied": np.full(len(rows), -1), "satisfied_at": np.zeros(len(rows), np.int64)}
    ends = Windows(validation_start=100 * DAY_MS, test_start=102 * DAY_MS, end=160 * DAY_MS)
    found = counters(pa.table(examples | unknown), items, ends, DAY_MS)
    assert found["fresh_share"].to_pylist() == pytest.approx([0.25] * 3 + [13 / 16] * 3 + [0] * 3)
    loaded = ItemTable.of(items, found.slice(3, 3), np.eye(3), make_spec({**CONFIG, "columns": {}}))
    assert loaded.freshness == Freshness(pytest.approx(13 / 16), LONGEST)
    before = found.drop_columns(["fresh_share", "fresh_days"]).slice(0, 3)
    assert ItemTable.of(items, before, np.eye(3), make_spec({**CONFIG, "columns": {}})).freshness == Freshness()


@pytest.mark.parametrize(("imported", "share"), [(6, 0.25), (5, 1.0)])
def test_a_date_that_most_items_have_tells_no_age(imported, share):
    """Of ten items some were created on day 90, the others on days of their own; all are taken on day 99."""
    days = [90] * imported + [*range(91, 101 - imported)]
    items = pa.table({"item_id": [f"i{n}" for n in range(10)], "created_at": [day * DAY_MS for day in days]})
    taken = ["i9", "i0", "i1", "i2"]
    examples = {"item_id": taken, "timestamp": np.full(4, 99 * DAY_MS), "satisfied": np.full(4, -1)}
    ends = Windows(validation_start=100 * DAY_MS, test_start=101 * DAY_MS, end=102 * DAY_MS)
    found = counters(pa.table(examples | {"satisfied_at": np.zeros(4, np.int64)}), items, ends, DAY_MS)
    assert found["fresh_share"][0].as_py() == share


def table_of(found, ages=(40.0, 9.0, 1.0, 3.0), vectors=None):
    """Items of brands a, b, a, b."""
    created = [int(NOW - age * DAY_MS) for age in ages]
    ids = [f"i{n}" for n in range(len(ages))]
    items = pa.table({"item_id": ids, "item_brand": [BRANDS[n % 2] for n in range(len(ages))], "created_at": created})
    counted = pa.table({"item_id": ids, **dict.fromkeys(("events", "events_30d", "satisfied_rate"), [0] * len(ages))})
    vectors = np.zeros((len(ages), 2)) if vectors is None else np.array(vectors)
    return replace(ItemTable.of(items, counted, vectors, SPEC), freshness=found, engaged=None)


def fresh(items, history, vector=None, count=40):
    tokens = {
        "token_item_id": history,
        "token_gap": [np.nan] * len(history),
        "token_event_type": ["rating"] * len(history),
    }
    lists, failed = Sources(items).listed(PairQuery.of(NOW, tokens, 1.0, items), vector, count, lambda p: p >= 0)
    assert not failed
    return lists["fresh"].tolist()


def test_fresh_items_come_by_the_values_of_the_history_and_by_age():
    slow, fast = Freshness(0.5, LONGEST), Freshness(0.5, 0.5)
    assert fresh(table_of(slow), ["i1"]) == [3, 1, 2], "of brand b first, the newest of them first"
    assert fresh(table_of(slow), ["i0"]) == [2, 3, 1], "what is too old for it stays out, and counts in the history"
    assert fresh(table_of(fast), ["i1"])[0] == 3 and fresh(table_of(fast), []) == [2, 3, 1]
    assert fresh(table_of(fast, ages=(40.0, 9.0, 1.0, 9.5)), ["i1"]) == [2, 1, 3], "eight days are too many"


def test_values_of_late_say_more_than_those_of_before():
    """Two of a, ten days ago, and one of b today."""
    items = table_of(Freshness(0.5, LONGEST))
    tokens = {"token_item_id": ["i0", "i0", "i1"], "token_gap": [np.nan, 0.0, 10 * DAY_MS / 1000]}
    asked = PairQuery.of(NOW, tokens | {"token_event_type": ["rating"] * 3}, 0.0, items)
    of_b, of_a = BRANDS.index("b"), BRANDS.index("a")
    for form, better in ((6, of_b), (5, of_a)):
        found, scores = Sources(replace(items, form=form)).fresh(asked, None)
        assert found[np.argmax(scores)] % 2 == better


def test_what_values_say_is_what_the_ranker_is_told_of_them():
    """In a release of before, in which all that was done counts alike."""
    items = replace(table_of(Freshness(0.5, LONGEST), tuple(np.linspace(1, 20, 30))), form=5)
    tokens = {"token_item_id": ["i1", "i2", "i5", "gone"], "token_gap": [np.nan, 1.0, 1.0, 1.0]}
    asked = PairQuery.of(NOW, tokens | {"token_event_type": ["rating"] * 4}, 1.0, items)
    told = pair_features(items, [asked], np.zeros(30, np.int64), np.arange(30), np.zeros(30, np.float32))
    found, scores = Sources(items).fresh(asked, None)
    shares = np.exp(scores + (NOW - items.created_at[found]) / DAY_MS / LONGEST) - OWN_VALUES
    assert found.tolist() == list(range(30)) and set(np.round(shares, 6)) == {0.25, 0.5}
    np.testing.assert_allclose(shares, told[:, PAIR_FEATURES.index("shared_mean")], atol=1e-6)


def test_the_query_vector_has_a_word():
    near = np.array([1.0, 0.0], np.float32)
    assert fresh(table_of(Freshness(0.5, LONGEST), vectors=[[0, 0], [1, 0], [0, 0], [0, 0]]), [], near)[0] == 1


def test_fresh_items_have_the_share_of_what_is_taken_of_them():
    many = tuple(np.linspace(0.1, 20, 100))
    for share, expected in ((0.0, SHARES["fresh"]), (0.05, SHARES["fresh"]), (0.8, 0.8), (1.0, 1.0)):
        items = table_of(Freshness(share, 5.0), many)
        assert Sources(items).shares == {**SHARES, "fresh": expected}
        assert len(fresh(items, [], count=50)) == int(50 * expected)


def test_a_merged_list_is_by_the_shares_that_the_items_have():
    shares = Sources(table_of(Freshness(1.0, 5.0))).shares
    lists = {"two_tower": np.arange(10), "fresh": np.arange(10, 20)}
    assert merged(lists, 6, shares).positions.tolist() == [0, 10, 1, 11, 2, 12]
    assert merged(lists, 6).positions.tolist() == [0, 1, 2, 3, 4, 5]
