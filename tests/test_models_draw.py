"""The draw of examples for the ranker: as many moments as there is room for, each as likely as any other."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.models import draw
from souk.models.draw import draw_examples, moments_of
from tests.models_fixtures import cycle_spec

START, END = 1_000, 2_000
COLUMNS = ["event_id", "user_id", "timestamp", "item_id", "satisfied", "satisfied_at", "moment"]


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
    """How many rows each user and time has."""
    return Counter(zip(table["user_id"].to_pylist(), table["timestamp"].to_pylist(), strict=True))


def test_a_window_that_is_small_enough_is_taken_whole(features):
    table = draw_examples(features, START, END, 0)
    assert table.column_names == COLUMNS
    times = table["timestamp"].to_numpy()
    assert (times.min(), times.max()) == (1_000, 1_950)
    assert len(table) == 1_200
    assert [sorted(m.items) for m in moments_of(table)] == [sorted(m.own) for m in moments_of(table)]


def test_as_many_moments_as_leave_labels_and_of_each_an_example(features, monkeypatch):
    whole = draw_examples(features, START, END, 0)
    monkeypatch.setattr(draw, "MAX_EXAMPLES", 300)
    drawn = [draw_examples(features, START, END, seed) for seed in (0, 0, 1)]
    assert drawn[0].equals(drawn[1]) and not drawn[0].equals(drawn[2])
    for table in drawn:
        labelled = np.sum(table["satisfied"].to_numpy() >= 0)
        assert len(table) == 300 and len(moments(table)) > 250 and 150 <= labelled < 160
        inside = set(table["event_id"].to_pylist())
        assert table["event_id"].to_pylist() == [e for e in whole["event_id"].to_pylist() if e in inside]


def test_further_examples_fill_the_rest(features, monkeypatch):
    whole = draw_examples(features, START, END, 0)
    assert len(moments(whole)) == 400
    monkeypatch.setattr(draw, "MAX_EXAMPLES", 700)
    table = draw_examples(features, START, END, 0)
    assert len(set(table["event_id"].to_pylist())) == 700
    assert moments(table).keys() == moments(whole).keys() and moments(table) <= moments(whole)


def test_moments_of_one_example_are_all_labelled(features, monkeypatch):
    table = pq.read_table(features / "examples.parquet")
    alone = table.filter(np.isin(table["other"], np.arange(0, 600, 5)))
    pq.write_table(alone, features / "examples.parquet")
    monkeypatch.setattr(draw, "MAX_EXAMPLES", 50)
    table = draw_examples(features, START, END, 0)
    assert len(table) == len(moments(table)) == 50 and (table["satisfied"].to_numpy() >= 0).all()


@pytest.mark.parametrize("most", [100, 300, 700])
def test_what_is_taken_has_labels_as_often_as_it_is_taken(features, monkeypatch, most):
    """Of the moments that are drawn, whatever their size."""
    whole = moments(draw_examples(features, START, END, 0))
    monkeypatch.setattr(draw, "MAX_EXAMPLES", most)
    taken, labelled = np.zeros(6), np.zeros(6)
    for seed in range(60):
        table = draw_examples(features, START, END, seed)
        for pair in moments(table):
            taken[whole[pair]] += whole[pair]
        for user, time, label in zip(*(table[n].to_pylist() for n in COLUMNS[1:3] + COLUMNS[4:5]), strict=True):
            labelled[whole[user, time]] += label >= 0
    shares = labelled[1:] / taken[1:]
    assert shares.min() > 0.1 and np.ptp(shares) < 0.3 * shares.mean()


def test_a_moment_that_is_larger_than_all_there_is_room_for_is_left_out(features, monkeypatch):
    table = pq.read_table(features / "examples.parquet").slice(700, 1)
    start = table["timestamp"][0].as_py()
    pq.write_table(pa.concat_tables([table] * 50), features / "examples.parquet")
    monkeypatch.setattr(draw, "MAX_EXAMPLES", 20)
    assert len(draw_examples(features, start, start + 1, 0)) == 20, "there is no other"
    row = table.set_column(table.column_names.index("user_id"), "user_id", pa.array(["another"]))
    pq.write_table(pa.concat_tables([*[table] * 50, row]), features / "examples.parquet")
    assert draw_examples(features, start, start + 1, 0)["user_id"].to_pylist() == ["another"]


@pytest.mark.parametrize("most", [7, 300, 700])
def test_of_each_moment_all_that_was_taken_is_told_once(features, monkeypatch, most):
    whole = {(m.user, m.time): m.items for m in moments_of(draw_examples(features, START, END, 0))}
    monkeypatch.setattr(draw, "MAX_EXAMPLES", most)
    table = draw_examples(features, START, END, 0)
    for moment in moments_of(table):
        assert sorted(moment.items) == sorted(whole[moment.user, moment.time])
        assert set(moment.own) <= set(moment.items) and len(moment.own) == len(moment.rows) == len(moment.events)
    first, seen = [], set()
    for pair in zip(table["user_id"].to_pylist(), table["timestamp"].to_pylist(), strict=True):
        first.append(pair not in seen)
        seen.add(pair)
    assert [bool(told) for told in table["moment"].to_pylist()] == first


def test_labels_stay_with_their_items(features, monkeypatch):
    table = pq.read_table(features / "examples.parquet")
    number = np.arange(len(table))
    for name, values in {"item_id": [f"i{n}" for n in number], "satisfied": number % 2, "satisfied_at": number}.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, features / "examples.parquet")
    monkeypatch.setattr(draw, "MAX_EXAMPLES", 300)
    told = [each for whole in draw_examples(features, START, END, 0)["moment"].to_pylist() for each in whole]
    assert len(told) > 600
    for each in told:
        number = int(each["item_id"][1:])
        assert (each["satisfied"], each["satisfied_at"]) == (number % 2, number)


def test_large_moments_are_drawn_as_often_as_small_ones(features, monkeypatch):
    whole = moments(draw_examples(features, START, END, 0))
    monkeypatch.setattr(draw, "MAX_EXAMPLES", 150)
    found = np.zeros(6)
    for seed in range(60):
        for pair in moments(draw_examples(features, START, END, seed)):
            found[whole[pair]] += 1
    there = np.bincount(list(whole.values()), minlength=6)
    shares = found[1:] / there[1:] / 60
    assert shares.mean() > 0.2 and np.ptp(shares) < 0.06
