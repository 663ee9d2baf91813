"""How near candidates are in a number to what was looked at, with answers by hand."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.items import ItemTable
from souk.levels import USUAL, Levels
from souk.pair_query import PairQuery
from souk.pairs import names_of, pair_features
from souk.schema import Kind
from souk.serving.explain.names import plain_name
from souk.serving.explain.pairs import plain_value, start, votes
from tests.models_fixtures import cycle_spec

DAY = 86_400.0
PRICES = [10.0, 20.0, 20.0, 40.0, None]
OF_PRICES = [0.125, 0.5, 0.5, 0.875, math.nan]  # with less, and half of those with as much, of the four that say any


def prices(*values, names=None):
    names = names or [f"i{number}" for number in range(len(values))]
    return pa.table({"item_id": names, "item_price": pa.array(values, pa.float32())})


def with_price():
    columns = cycle_spec().columns
    return replace(cycle_spec(), columns=columns.model_copy(update={"items": {"price": Kind.NUMERIC}, "widths": {}}))


def of_prices(**form):
    table = prices(*PRICES).append_column("created_at", pa.array([None] * 5, pa.int64()))
    counters = pa.table(
        {"item_id": table["item_id"], "events": [1.0] * 5, "events_30d": [1.0] * 5, "satisfied_rate": [0.5] * 5}
    )
    return ItemTable.of(table, counters, np.eye(5, dtype=np.float32), with_price(), **form)


@pytest.fixture(scope="module")
def items():
    return of_prices()


def asked(items, *looked):
    """A query a day after the last look; looks are a day apart."""
    tokens = {
        "token_item_id": list(looked),
        "token_event_type": ["click"] * len(looked),
        "token_value": [math.nan] * len(looked),
        "token_gap": [math.nan, *[DAY] * (len(looked) - 1)][: len(looked)],
    }
    return PairQuery.of(10**12, tokens, DAY, items)


def told(items, query):
    """The columns of a query with every item as a candidate, `[items, columns]`."""
    return pair_features(items, [query], np.zeros(5, np.int64), np.arange(5), np.zeros(5, np.float32))


def test_a_level_is_the_share_of_the_items_that_have_less():
    levels = Levels.of(["item_price"], prices(*PRICES))
    assert levels.levels[:, 0] == pytest.approx(OF_PRICES, nan_ok=True)
    rows = levels.of_rows(prices(30.0, 5.0, 1e9, None, math.inf))
    assert rows[:, 0] == pytest.approx([0.6875, 0.125, 0.875, math.nan, math.nan], nan_ok=True)


def test_what_is_near_the_looks_of_late_is_told_from_what_is_far(items):
    names = names_of(with_price())
    assert names[-1] == "near:item_price"
    once = told(items, asked(items, "i0"))[:, -1]
    weight = 0.5 / 1.5  # a look a day ago counts a half
    assert once == pytest.approx([weight * (USUAL - far) for far in (0, 0.375, 0.375, 0.75)] + [0], abs=1e-6)
    twice = told(items, asked(items, "i0", "i3"))[:, -1]  # two days ago, and one
    usual, weight = (0.125 / 3 + 0.875 / 2) / (1 / 3 + 1 / 2), (5 / 6) / (11 / 6)
    assert twice == pytest.approx([weight * (USUAL - abs(own - usual)) for own in OF_PRICES[:4]] + [0], abs=1e-6)
    assert told(items, asked(items, "i0", "gone", "i4"))[:4, -1].argmax() == 0, "what says nothing counts for nothing"


@pytest.mark.parametrize("looked", [(), ("i4",), ("gone",)])
def test_where_nothing_is_known_nothing_is_near(items, looked):
    assert not told(items, asked(items, *looked))[:, -1].any()


def test_a_release_of_before_has_no_such_column(items):
    query = asked(items, "i0", "i3")
    assert names_of(with_price(), 6) == names_of(with_price(), 7)[:-1]
    assert told(replace(items, form=6), query).tolist() == told(replace(items, form=7), query)[:, :-1].tolist()
    assert of_prices(form=6).levels.names == () and items.levels.names == ("item_price",), "nor takes memory for it"


def test_items_that_come_or_change_are_measured_by_what_training_knew(items):
    rows = prices(30.0, 40.0, names=["i0", "new"])
    for name in ("created_at", "available_until"):
        rows = rows.append_column(name, pa.array([None, None], pa.int64()))
    changed = items.with_items(rows, np.ones((2, 5), np.float32), with_price())
    assert changed.levels.levels[:, 0] == pytest.approx([0.6875, *OF_PRICES[1:], 0.875], nan_ok=True)
    assert items.levels.levels[0, 0] == 0.125, "who still serves the table before keeps it"
    assert changed.levels.marks is items.levels.marks


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=9))
def test_the_scale_of_a_number_does_not_matter(values):
    past, weights, every = np.array([0]), np.ones(1), np.arange(len(values))
    plain, other = (
        Levels.of(["item_price"], prices(*each)) for each in (values, np.float32(values).astype(float) ** 3)
    )
    assert np.allclose(plain.nearness(past, weights, every), other.nearness(past, weights, every))


def test_an_explanation_gives_it_to_the_looks_that_were_near(items):
    given = votes(items, asked(items, "i0", "i3", "gone"), 1)["near:item_price"]
    assert given == pytest.approx([(USUAL - 0.375) / 4, (USUAL - 0.375) / 3, 0])
    names = names_of(with_price())
    assert start(names, np.ones((2, len(names))), np.ones((1, len(names))), 0.0)[-1] == 0, "no history, nothing near"
    for name in ("near:item_price", "near:item_sales_rank", "near:item_recency", "near:item_past_events"):
        assert plain_value(name, -0.21) == -0.21, "whatever a number is called"
    assert plain_name("near:item_price") == "how near the item's price is to what the user looked at of late"
