"""The measurement of new items: what is held out, and the neighbours by content, counted by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.cold.__main__ import _recall
from benchmarks.cold.content_knn import ContentKnn, Settings, tf_idf
from benchmarks.cold.held_out import ColdQuery, hold_out


def test_what_is_held_out_is_in_no_table_of_training(tmp_path):
    tables = tmp_path / "from"
    tables.mkdir()
    items = [{"item_id": f"i{n}"} for n in range(40)]
    events = [{"item_id": f"i{n % 30}", "user_id": "u", "event_id": str(n)} for n in range(90)]
    for name, rows in (("items", items), ("events", events), ("users", [{"user_id": "u"}])):
        pq.write_table(pa.Table.from_pylist(rows), tables / f"{name}.parquet")
    hold_out(tables, tmp_path / "a", 0.1, 5)
    ids = {p: set(pq.read_table(tmp_path / "a" / p)["item_id"].to_pylist()) for p in (
        "tables/items.parquet", "tables/events.parquet", "cold/items.parquet", "cold/events.parquet",
    )}  # fmt: skip
    cold = ids["cold/items.parquet"]
    assert len(cold) == 3 and ids["cold/events.parquet"] == cold  # of those with events
    assert not cold & (ids["tables/items.parquet"] | ids["tables/events.parquet"])
    assert cold | ids["tables/items.parquet"] == {row["item_id"] for row in items}


def test_tf_idf_by_hand():
    table = tf_idf([["a", "a"], ["a", "b"], ["b"]], known=2, idf=True)
    a, b = np.log(3 / 3) + 1, np.log(3 / 2) + 1
    assert table[1] == pytest.approx(np.array([a, b]) / np.hypot(a, b))
    assert table[0].tolist() == [1, 0] and table[2].tolist() == [0, 1]


def test_the_last_items_of_a_history_count_most():
    knn = ContentKnn([["a"], ["b"], ["a"], ["b"]], known=2)
    (even,) = knn.scores([np.array([0, 1])], Settings(0.0, 5, 1.0, False))
    (late,) = knn.scores([np.array([0, 1])], Settings(1.0, 5, 1.0, False))
    (last,) = knn.scores([np.array([0, 1])], Settings(0.0, 1, 1.0, False))
    assert even.tolist() == [1, 1, 1, 1] and late.tolist() == [0.5, 1, 0.5, 1] and last.tolist() == [0, 1, 0, 1]


def test_recall_within_the_new_and_within_all():
    """99 known items and 60 new ones; the target is the 10th of the new ones, and 9 known ones are seen."""
    place = {f"i{n}": n for n in range(159)}
    query = ColdQuery("u", 0, None, tuple(f"i{n}" for n in range(9)), ("i108",))
    scores = np.concatenate([np.full(50, 2.0), np.zeros(49), np.linspace(1, 0.5, 60)])
    for seen, whole in ((True, 0.0), (False, 0.0)):
        found = _recall(iter([scores]), [query], place, 99, seen)
        assert found["cold"][0] == 1.0 and found["whole"][0] == whole
    scores[:50] = np.concatenate([np.full(10, 2.0), np.zeros(40)])
    scores[10:45] = 2.0
    assert _recall(iter([scores]), [query], place, 99, True)["whole"][0] == 1.0  # 36 known ones and 9 new before it
    assert _recall(iter([scores]), [query], place, 99, False)["whole"][0] == 0.0
