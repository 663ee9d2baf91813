"""The draw of examples for the ranker: whole moments of the window, each as likely as any other."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.models import retrieve
from souk.models.retrieve import draw_examples
from tests.models_fixtures import cycle_spec

START, END = 1_000, 2_000
COLUMNS = ["event_id", "user_id", "timestamp", "item_id", "satisfied", "satisfied_at"]


@pytest.fixture
def features(tmp_path):
    """600 moments of 30 users, of 1 to 5 events each, two thirds of them in the window; users share times."""
    sizes = 1 + np.arange(600) % 5
    moment = np.repeat(np.arange(600), sizes)
    events = {
        "event_id": [f"e{n}" for n in range(len(moment))],
        "user_id": [f"u{n % 30}" for n in moment],
        "timestamp": 700 + 50 * (moment // 20),
        "item_id": [f"i{n % 7}" for n in range(len(moment))],
        "satisfied": np.zeros(len(moment), np.int64),
        "satisfied_at": 700 + 50 * (moment // 20),
        "other": moment,
    }
    table = pa.table(events).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    pq.write_table(table, tmp_path / "examples.parquet", row_group_size=100)
    (tmp_path / "spec.json").write_text(cycle_spec().to_json())
    return tmp_path


def moments(table):
    """How many events each user and time has."""
    counts = {}
    for pair in zip(table["user_id"].to_pylist(), table["timestamp"].to_pylist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def test_a_window_that_is_small_enough_is_taken_whole(features):
    table = draw_examples(features, START, END, 0)
    assert table.column_names == COLUMNS
    times = table["timestamp"].to_numpy()
    assert (times.min(), times.max()) == (1_000, 1_950)
    assert len(table) == 1_200


def test_moments_are_drawn_whole_in_order_and_by_the_seed(features, monkeypatch):
    whole = draw_examples(features, START, END, 0)
    monkeypatch.setattr(retrieve, "MAX_EXAMPLES", 300)
    drawn = [draw_examples(features, START, END, seed) for seed in (0, 0, 1)]
    assert drawn[0].equals(drawn[1]) and not drawn[0].equals(drawn[2])
    for table in drawn:
        assert 295 < len(table) <= 300
        assert moments(table).items() <= moments(whole).items()
        inside = set(table["event_id"].to_pylist())
        assert table["event_id"].to_pylist() == [e for e in whole["event_id"].to_pylist() if e in inside]


def test_large_moments_are_drawn_as_often_as_small_ones(features, monkeypatch):
    whole = moments(draw_examples(features, START, END, 0))
    monkeypatch.setattr(retrieve, "MAX_EXAMPLES", 300)  # a quarter of 1,200
    found = np.zeros(6)
    for seed in range(60):
        for pair in moments(draw_examples(features, START, END, seed)):
            found[whole[pair]] += 1
    there = np.bincount(list(whole.values()), minlength=6)
    shares = found[1:] / there[1:] / 60
    assert np.abs(shares - 0.25).max() < 0.03


def test_a_moment_that_is_too_large_is_left_out_and_alone_it_is_cut(features, monkeypatch):
    whole = moments(draw_examples(features, START, END, 0))
    monkeypatch.setattr(retrieve, "MAX_EXAMPLES", 4)
    for seed in range(20):
        drawn = moments(draw_examples(features, START, END, seed))
        assert drawn.items() <= whole.items() and 0 < sum(drawn.values()) <= 4
    table = pq.read_table(features / "examples.parquet")
    pq.write_table(table.filter(np.isin(table["other"], np.arange(4, 600, 5))), features / "examples.parquet")
    assert set(moments(draw_examples(features, START, END, 0)).values()) == {4}, "of moments of five"
