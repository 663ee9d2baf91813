"""How long ago a user did what with a candidate, with answers by hand."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.acts import repeats
from souk.features.history import told_apart
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import PAIR_FEATURES, pair_features, pair_names
from souk.serving.explain.names import plain_name
from souk.serving.explain.pairs import plain_value, start, votes
from souk.spec import FeatureSpec
from souk.store.definitions import view_name
from tests.models_fixtures import cycle_spec

DAY = 86_400.0
ACTS = ("click", "cart", "purchase")


@pytest.fixture(scope="module")
def items():
    table = pa.table({"item_id": list("abc"), "created_at": pa.array([None] * 3, pa.int64())})
    counters = pa.table(
        {"item_id": list("abc"), "events": [3.0, 2.0, 1.0], "events_30d": [1.0] * 3, "satisfied_rate": [0.5] * 3}
    )
    columns = cycle_spec().columns.model_copy(update={"items": {}, "widths": {}})
    spec = replace(cycle_spec(columns=columns), acts=ACTS)
    return ItemTable.of(table, counters, np.eye(3, dtype=np.float32), spec)


def asked(items, *events):
    """A query a day after the last of these events, which are a day apart: each an item and a type."""
    names, kinds = zip(*events, strict=True) if events else ((), ())
    tokens = {
        "token_item_id": list(names),
        "token_event_type": list(kinds),
        "token_value": [math.nan] * len(names),
        "token_gap": [math.nan, *[DAY] * (len(names) - 1)][: len(names)],
    }
    return PairQuery.of(10**12, tokens, DAY, items)


def told(items, *queries):
    """The columns of acts, `[queries, items, acts]`."""
    request, positions = np.repeat(np.arange(len(queries)), 3), np.tile(np.arange(3), len(queries))
    found = pair_features(items, queries, request, positions, np.zeros(len(request), np.float32))
    names = pair_names(items.matches, items.shares.names, acts=items.acts)
    assert names == (*PAIR_FEATURES, *(f"act:{kind}" for kind in ACTS))
    return found[:, len(PAIR_FEATURES) :].reshape(len(queries), 3, len(ACTS))


def test_each_type_of_act_has_the_days_since_the_last_of_it(items):
    one = asked(items, ("a", "click"), ("b", "cart"), ("a", "click"), ("a", "purchase"), ("gone", "cart"))
    other = asked(items, ("b", "rating"), ("c", "click"))
    found = told(items, one, asked(items), other)
    assert found[0] == pytest.approx(np.array([[1 / 4, 0, 1 / 3], [0, 1 / 5, 0], [0, 0, 0]]))
    assert not found[1].any()
    assert found[2] == pytest.approx(np.array([[0, 0, 0], [0, 0, 0], [1 / 2, 0, 0]])), "a rating is none of them"


def test_of_a_release_that_tells_no_acts_apart_nothing_changes(items):
    before, query = replace(items, acts=()), asked(items, ("a", "click"), ("b", "cart"))
    where = np.zeros(3, np.int64), np.arange(3), np.zeros(3, np.float32)
    now = pair_features(items, [query], *where)
    old = pair_features(before, [asked(before, ("a", "click"), ("b", "cart"))], *where)
    assert old.tolist() == now[:, : len(PAIR_FEATURES)].tolist()


def test_without_events_there_is_nothing():
    none = np.zeros(0, np.int64)
    seen, acts = repeats(np.array([1, 2]), none, np.zeros(0), none, 2)
    assert [column.tolist() for column in (*seen, *acts)] == [[0, 0]] * 4


def test_an_explanation_gives_an_act_to_the_event_that_it_was(items):
    query = asked(items, ("a", "click"), ("b", "cart"), ("a", "click"), ("a", "purchase"))
    given = votes(items, query, 0)
    assert given["act:click"].tolist() == [0, 0, 1, 0] and given["act:purchase"].tolist() == [0, 0, 0, 1]
    assert not given["act:cart"].any()
    names = pair_names(items.matches, items.shares.names, acts=items.acts)
    assert not start(names, np.ones((2, len(names))), np.ones((1, len(names))), 0.0)[-3:].any(), "no history, no act"
    assert plain_value("act:cart", 0.25) == 3.0 and plain_value("act:cart", 0.0) is None
    assert plain_name("act:purchase") == "how long ago the user last bought it"
    assert plain_name("act:cart") == "how long ago the user last put it in the cart"


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"click": 3000, "cart": 30, "impression": 99_999}, ("click", "cart")),
        ({"click": 30_000, "cart": 3}, ()),
        ({"rating": 3000, "hide": 3000}, ()),
        ({}, ()),
    ],
)
def test_types_are_told_apart_where_there_are_some_of_several(tmp_path, counts, found):
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    table = {"event_type": [*kinds, *["return"] * 10_000], "timestamp": [1] * len(kinds) + [9] * 10_000}
    pq.write_table(pa.table({**table, "timestamp": pa.array(table["timestamp"], pa.int64())}), tmp_path / "events")
    assert told_apart(tmp_path / "events", cycle_spec(), 9) == found, "what comes later does not choose"


def test_a_spec_without_acts_is_as_it_was():
    spec, other = cycle_spec(), replace(cycle_spec(), acts=ACTS)
    assert "acts" not in spec.to_json() and FeatureSpec.from_json(spec.to_json()) == spec
    assert FeatureSpec.from_json(other.to_json()).acts == ACTS and other.hash != spec.hash
    assert view_name(other) == view_name(spec) and spec.hash in view_name(spec), "user states are the same"
