"""An item that comes to be after training is to the ranker what one without events was in training."""

import numpy as np
import pyarrow as pa
import pytest

from souk.features.tables import counters
from souk.features.windows import Windows
from souk.items import ItemTable
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
