"""How satisfied a user was: the labels of training, as a query knows them, and means of surprises by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest

from souk.config import BuildFeatures, Objective, Objectives
from souk.features.rows import sequence_rows
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import PAIR_FEATURES, pair_features
from souk.satisfaction import DOUBT
from souk.schema import DAY_MS
from souk.sources.co_visitation import STEPS
from souk.state import Event, features_at, state_of
from tests.models_fixtures import cycle_spec

NOW = 20_000 * DAY_MS
NAMES = ["a", "b", "c", "d"]
KINDS = ("click", "purchase", "return", "rating")
VALUES, DWELLS = (3.0, 4.1, math.nan), (1.0, 9.0, math.nan)
RATES = [0.5, 0.25, 0.75, 0.1]
VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], np.float32)
CATEGORIES = [["x", "x/1"], ["x", "x/2"], ["y"], []]
RATED = Objective(events=("rating",), min_value=4)


def spec_of(satisfied):
    objectives = Objectives(engaged=Objective(events=KINDS), satisfied=satisfied)
    return cycle_spec(price=False, objectives=objectives, build=BuildFeatures(history_length=32))


def items_of(spec):
    table = pa.table({"item_id": NAMES, "item_category": CATEGORIES, "created_at": pa.array([None] * 4, pa.int64())})
    counters = {"item_id": NAMES, "events": [1.0] * 4, "events_30d": [1.0] * 4, "satisfied_rate": RATES}
    return ItemTable.of(table, pa.table(counters), VECTORS, spec)


def asked(items, tokens, since=86_400.0):
    """A query after events (item, value), a day apart."""
    gaps = [math.nan, *[86_400.0] * (len(tokens) - 1)][: len(tokens)]
    columns = {"token_item_id": [item for item, _ in tokens], "token_value": [value for _, value in tokens]}
    return PairQuery.of(NOW, {**columns, "token_gap": gaps, "token_event_type": ["rating"] * len(tokens)}, since, items)


def found(items, query):
    """The four features of each item of NAMES."""
    pair = pair_features(items, [query], np.zeros(4, np.int64), np.arange(4), np.zeros(4, np.float32))
    return [dict(zip(PAIR_FEATURES, row.tolist(), strict=False)) for row in pair]


@pytest.mark.parametrize(
    "objective",
    [
        RATED,
        Objective(events=("rating",), min_value=4.1),
        Objective(events=("click",), min_dwell_seconds=5),
        Objective(events=("purchase",), unless=("return",), within_days=3),
        Objective(events=("click", "purchase"), followed_by=("purchase",), within_days=2),
        Objective(events=("click",), followed_by=("click", "rating"), any_item=True, from_days=1, within_days=3),
        Objective(events=("click",), followed_by=("purchase",), unless=("return",), within_days=2, min_dwell_seconds=5),
        Objective(events=("click", "purchase"), unless=("return", "click"), within_days=1),
    ],
)
def test_a_query_knows_the_labels_of_training_that_are_known_by_then(objective):
    """Events a quarter of a day apart or at one time, so that many lie on the edge of their label's window."""
    random, spec = np.random.default_rng(3), spec_of(objective)
    items, told = items_of(spec), []
    for _ in range(40):
        times = NOW + np.sort(random.integers(0, 60, 28)) * (DAY_MS // 4)
        drawn = zip(*(random.choice(values, 28) for values in (NAMES, KINDS, VALUES, DWELLS)), strict=True)
        events = [
            Event(str(item), str(kind), int(time), float(value), f"{n:02d}", float(dwell))
            for n, (time, (item, kind, value, dwell)) in enumerate(zip(times, drawn, strict=True))
        ]
        now = int(times[-1]) + int(random.integers(1, 12)) * (DAY_MS // 4)
        labels = {
            target.event.event_id: target.labels["satisfied"].value
            for row in sequence_rows("u", events, {}, spec, now)
            for target in row.targets
        }
        features = features_at(state_of("u", events, spec, {}), now, spec)
        tokens = features.tokens | {"token_value": np.float32(features.tokens["token_value"]).tolist()}
        query = PairQuery.of(now, tokens, features.query["query_since_last"], items)
        expected = [labels[event.event_id] for event in features.window]
        known = np.isfinite(query.surprise)
        assert known.tolist() == [value >= 0 for value in expected]
        rates = np.array(RATES)[query.items[known]]
        np.testing.assert_allclose(query.surprise[known] + rates, np.array(expected)[known], atol=1e-6)
        told += expected
    assert min(told.count(value) for value in (0, 1)) > 5
    assert told.count(-1) > 20, "events of other kinds, and young ones"


def test_the_means_by_hand():
    items = items_of(spec_of(RATED))
    query = asked(items, [("a", 5.0), ("gone", 5.0), ("b", 3.0), ("d", 4.0)])
    a, b, d = 0.5, -0.25, 0.9  # surprises; what is not in the catalogue has no rate
    every, now = found(items, query), [1, 2**-STEPS, 4**-STEPS]
    for row in every:
        assert row["satisfied_before"] == pytest.approx((a + b + d) / (3 + DOUBT), rel=1e-5)
        lately = (d * now[0] + b * now[1] + a * now[2]) / (sum(now) + DOUBT)
        assert row["satisfied_lately"] == pytest.approx(lately, rel=1e-5)
    alike = [a / (1 + DOUBT), b / (1 + DOUBT), (0.36 * a + 0.64 * b) / (1 + DOUBT), d / (1 + DOUBT)]
    assert [row["satisfied_alike"] for row in every] == pytest.approx(alike, rel=1e-5)
    both = (a + b) / (2 + DOUBT)  # of x
    shared = [(both + a / (1 + DOUBT)) / 2, (both + b / (1 + DOUBT)) / 2, 0, 0]
    assert [row["satisfied_shared"] for row in every] == pytest.approx(shared, rel=1e-5)


@pytest.mark.parametrize(
    ("rule", "days", "label"),
    [
        ({"unless": ("return",), "within_days": 7}, 7, 0),
        ({"unless": ("return",), "within_days": 6}, 7, 1),
        ({"unless": ("return",), "within_days": 7}, 0, 0),
        ({"unless": ("return", "purchase"), "within_days": 6}, 7, 1),
        ({"followed_by": ("return",), "within_days": 7}, 0, 0),
        ({"followed_by": ("return",), "within_days": 7}, 7, 1),
        ({"followed_by": ("return",), "from_days": 1, "within_days": 7}, 1, 1),
        ({"followed_by": ("return",), "from_days": 2, "within_days": 7}, 1, 0),
    ],
)
def test_what_is_at_the_very_edge_of_a_window_is_so_at_any_time_of_a_query(rule, days, label):
    """Days from date to date are whole, and training asks at midnight; a request comes at any millisecond."""
    items = items_of(spec_of(Objective(events=("purchase",), **rule)))
    kinds, nothing = ["purchase", "return"], [math.nan] * 2
    tokens = {"token_item_id": ["a", "a"], "token_value": nothing, "token_event_type": kinds}
    tokens |= {"token_gap": [math.nan, days * 86_400.0]}
    for since in [0.0, *np.random.default_rng(5).integers(1, 20 * DAY_MS, 1_000) / 1000]:
        query = PairQuery.of(NOW, tokens, 8 * 86_400 + since, items)
        assert query.surprise[0] == label - RATES[0]


@pytest.mark.parametrize("kinds", [["purchase", "return"], ["return", "purchase"]])
def test_what_is_returned_at_the_time_of_its_purchase_does_not_satisfy_in_either_order(kinds):
    items = items_of(spec_of(Objective(events=("purchase",), unless=("return",), within_days=7)))
    tokens = {"token_item_id": ["a", "a"], "token_value": [math.nan] * 2, "token_event_type": kinds}
    query = PairQuery.of(NOW, tokens | {"token_gap": [math.nan, 0.0]}, 8 * 86_400.0, items)
    assert query.surprise[kinds.index("purchase")] == -RATES[0]


def test_what_is_not_known_surprises_nobody():
    late = items_of(spec_of(Objective(events=("rating",), unless=("return",), within_days=9)))
    hidden = items_of(spec_of(Objective(events=("rating",), unless=("hide",))))  # a window has no hides
    some = [("a", 5.0), ("b", 1.0)]
    for items, tokens in ((late, some), (hidden, some), (items_of(spec_of(RATED)), [])):
        query = asked(items, tokens)
        assert np.isnan(query.surprise).all()
        names = [name for name in PAIR_FEATURES if name.startswith("satisfied_") and name != "satisfied_rate"]
        assert len(names) == 4 and all(row[name] == 0 for row in found(items, query) for name in names)


def test_what_everyone_likes_says_less_of_a_user_than_what_few_do():
    items = items_of(spec_of(RATED))
    few, many = (found(items, asked(items, [(item, 5.0)]))[1]["satisfied_before"] for item in ("d", "c"))
    assert few > 3 * many > 0


def test_dwell_is_a_token_feature_where_it_tells_satisfaction():
    names = [f.name for f in spec_of(Objective(events=("click",), min_dwell_seconds=5)).features]
    assert "token_dwell" in names
    assert "token_dwell" not in [f.name for f in spec_of(RATED).features]
