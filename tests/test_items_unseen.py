"""An item that comes to be after training is to the ranker what one without events was in training."""

import math

import numpy as np
import pyarrow as pa
import pytest

from souk.features.tables import counters
from souk.features.windows import Windows
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import PAIR_FEATURES, pair_features
from souk.schema import DAY_MS
from souk.sources.freshness import assumed_birth
from tests.evaluation_fixtures import make_spec
from tests.marketplace import CONFIG

SPEC = make_spec({**CONFIG, "columns": {}})
NAMES = ("much", "rare", "new")


def counted(names):
    """`much` has 1,000 events, none of the ten known labels positive; `rare` has thirty, all positive."""
    satisfied = [0] * 10 + [-1] * 990 + [1] * 30
    rows = {"item_id": ["much"] * 1000 + ["rare"] * 30, "timestamp": np.zeros(1030, np.int64)}
    table = pa.table({**rows, "satisfied": satisfied, "satisfied_at": np.zeros(1030, np.int64)})
    known = pa.table({"item_id": list(names), "created_at": pa.array([None] * len(names), pa.int64())})
    whole = counters(table, known, Windows(validation_start=5, test_start=6, end=7), half=10.0)
    return whole.slice(0, len(names))


def table_of(names, kept=("item_id", "events", "lately", "until", "half_life_days", "satisfied_rate", "prior_rate")):
    items = pa.table({"item_id": list(names), "created_at": pa.array([None] * len(names), pa.int64())})
    return ItemTable.of(items, counted(names).select(kept), np.eye(len(names), 3), SPEC), items


def with_new(table):
    row = pa.table({"item_id": ["new"], "created_at": pa.array([None], pa.int64())})
    return table.with_items(row, np.eye(1, 3), SPEC)


def test_a_new_item_has_the_counters_that_training_gives_one_without_events():
    trained, _ = table_of(NAMES)
    live = with_new(table_of(NAMES[:2])[0])
    assert trained.counters[:, 1].tolist() == pytest.approx([7.5 / 20, 37.5 / 40, 0.75])
    np.testing.assert_array_equal(live.counters, trained.counters)


def test_a_bundle_of_before_the_prior_was_kept_is_read():
    old, _ = table_of(NAMES[:2], ("item_id", "events", "lately", "until", "half_life_days", "satisfied_rate"))
    assert with_new(old).counters[-1].tolist() == pytest.approx([0, (7.5 / 20 + 37.5 / 40) / 2])


@pytest.mark.parametrize(
    ("unknown", "assumed"),
    [(0, math.nan), (1, 10.0), (2, 10.0), (3, math.nan), (40, math.nan)],
)
def test_few_items_of_unknown_age_are_as_old_as_the_median(unknown, assumed):
    """Of 40 items at most two: what an unknown age means cannot be told by them."""
    names = [f"i{n:02d}" for n in range(40)]
    born = [None] * unknown + [10] * (38 - unknown) + [5, 20][: 40 - unknown]
    items = pa.table({"item_id": names, "created_at": pa.array([*born, *[10] * 40][:40], pa.int64())})
    counters = pa.table({"item_id": names, **{n: [0.0] * 40 for n in ("events", "events_30d", "satisfied_rate")}})
    table = ItemTable.of(items, counters, np.eye(40, 3), SPEC)
    assert table.assumed_birth == pytest.approx(assumed, nan_ok=True)
    asked = PairQuery.of(
        10 + DAY_MS,
        dict.fromkeys(("token_item_id", "token_gap", "token_event_type", "token_value"), ()),
        math.nan,
        table,
    )
    pair = pair_features(table, [asked], np.zeros(40, np.int64), np.arange(40), np.zeros(40, np.float32))
    age, known = (pair[:, PAIR_FEATURES.index(name)] for name in ("age", "age_known"))
    told = unknown == 0 or not math.isnan(assumed)
    assert known.tolist() == [float(told)] * unknown + [1.0] * (40 - unknown)
    assert age[:unknown].tolist() == pytest.approx([math.log(2) if told else 0.0] * unknown)
    assert np.isnan(table.created_at[:unknown]).all(), "who asks since when an item is there is told the truth"


def test_an_unknown_age_stays_what_it_was_in_training_while_items_come():
    """With the new ones too many would be unknown, and the median another."""
    names = [f"i{n:02d}" for n in range(40)]
    items = pa.table({"item_id": names, "created_at": pa.array([None, *[10] * 39], pa.int64())})
    counters = pa.table({"item_id": names, **{n: [0.0] * 40 for n in ("events", "events_30d", "satisfied_rate")}})
    table = ItemTable.of(items, counters, np.eye(40, 3), SPEC)
    came = pa.table({"item_id": ["x", "y", "z"], "created_at": pa.array([None, None, 99], pa.int64())})
    assert table.with_items(came, np.zeros((3, 3), np.float32), SPEC).assumed_birth == 10
    told = counters.append_column("assumed_birth", pa.array([7.0] * 40))
    assert ItemTable.of(items, told, np.eye(40, 3), SPEC).assumed_birth == 7
    assert math.isnan(ItemTable.of(items, counters, np.eye(40, 3), SPEC, form=1).assumed_birth)
    assert ItemTable.of(items, counters, np.eye(40, 3), SPEC, form=2).assumed_birth == 10


def test_the_counters_of_a_boundary_know_the_age_of_then_and_all_of_them_whether_there_are_hours():
    """More than half came after the first boundary, with an import."""
    born = [None, *[10 * DAY_MS] * 20, *[50 * DAY_MS] * 25]
    names = pa.table({"item_id": [f"i{n:02d}" for n in range(46)], "created_at": pa.array(born, pa.int64())})
    events = {"item_id": [f"i{n % 46:02d}" for n in range(60)], "timestamp": np.arange(60) * DAY_MS}
    table = pa.table({**events, "satisfied": [-1] * 60, "satisfied_at": np.zeros(60, np.int64)})
    for has in (False, True):
        found = counters(table, names, Windows(40 * DAY_MS, 55 * DAY_MS, 60 * DAY_MS), math.inf, has).to_pandas()
        ages = found.groupby("boundary")["assumed_birth"].first() / DAY_MS
        assert ages.to_dict() == {"validation_start": 10, "test_start": 50, "end": 50}
        assert found["has_hours"].unique().tolist() == [has]


def test_the_age_that_is_assumed_is_of_what_was_there_before_the_boundary():
    created = np.array([np.nan, *[10.0] * 30, *[50.0] * 100])
    assert assumed_birth(created, 40.0) == 10 and assumed_birth(created, 60.0) == 50
    assert math.isnan(assumed_birth(created, 5.0)), "of what there was then too many are unknown"
    assert math.isnan(assumed_birth(created[1:], 60.0)) and math.isnan(assumed_birth(created[:0], 60.0))
