"""The clock of leave-last-out: each user's last event is the test, the one before it the validation."""

import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Objective, Split
from souk.errors import SoukError
from souk.evaluation.queries import rolling_queries
from souk.evaluation.windows import read_window
from souk.features.labels import engaging_rows
from souk.features.windows import Windows, read_windows, split_windows
from souk.ingest.last_out import leave_last_out
from souk.schema import DAY_MS
from tests.evaluation_fixtures import spec_of, write_artifacts

NOON = 19_000 * DAY_MS + DAY_MS // 2
LAST = 19_000 * DAY_MS
# ann five events over a year, two of them at one time; bob two, a day apart; cleo one, in between.
ROWS = [
    ("e1", "ann", "a", NOON - 400 * DAY_MS),
    ("e2", "ann", "b", NOON - 90 * DAY_MS),
    ("e3", "cleo", "a", NOON - 50 * DAY_MS),
    ("e5", "ann", "d", NOON - 30 * DAY_MS),
    ("e4", "ann", "c", NOON - 30 * DAY_MS),
    ("e6", "bob", "a", NOON - 1 * DAY_MS),
    ("e7", "bob", "b", NOON),
    ("e8", "ann", "e", NOON - 5),
]


@pytest.fixture
def clocked(tmp_path):
    """The events after the change, by id, and the items."""
    rows = sorted(ROWS, key=lambda row: (row[3], row[0]))
    names = ("event_id", "user_id", "item_id", "timestamp")
    table = pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    parquet.write_table(table, tmp_path / "events.parquet")
    dates = dict.fromkeys(("created_at", "available_until"), pa.array([5, None, NOON + 1], pa.int64()))
    dates["available"] = pa.array([False, False, False])
    parquet.write_table(pa.table({"item_id": ["a", "b", "c"], **dates}), tmp_path / "items.parquet")
    leave_last_out(tmp_path / "events.parquet", tmp_path / "items.parquet", lambda rows: np.ones(len(rows), bool))
    return parquet.read_table(tmp_path / "events.parquet"), parquet.read_table(tmp_path / "items.parquet")


def test_each_users_events_count_back_from_the_last_midnight(clocked):
    events, _ = clocked
    days = {row["event_id"]: (LAST - row["timestamp"]) / DAY_MS for row in events.to_pylist()}
    assert days == {"e1": 4, "e2": 3, "e4": 2, "e5": 1, "e8": 0, "e6": 1, "e7": 0, "e3": 0}


def test_the_last_target_is_held_out_whatever_surrounds_it(tmp_path):
    """A purchase (P) is a target, a click (c) is not: ann looks around before and after, bob only looks."""
    kinds = {"ann": "cPccPcPcc", "bob": "ccc", "cem": "P"}
    rows = [
        (f"{user}{n}", user, "a", NOON + n, "purchase" if kind == "P" else "click")
        for user, told in kinds.items()
        for n, kind in enumerate(told)
    ]
    names = ("event_id", "user_id", "item_id", "timestamp", "event_type")
    rows.sort(key=lambda row: (row[3], row[0]))
    table = pa.table({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
    parquet.write_table(table, tmp_path / "events.parquet")
    parquet.write_table(pa.table({"item_id": ["a"]}), tmp_path / "items.parquet")
    bought = partial(engaging_rows, objective=Objective(events=("purchase",)))
    leave_last_out(tmp_path / "events.parquet", tmp_path / "items.parquet", bought)
    found = {
        row["event_id"]: row["timestamp"] - LAST for row in parquet.read_table(tmp_path / "events.parquet").to_pylist()
    }
    back = [2 * DAY_MS + 1, 2 * DAY_MS, DAY_MS + 2, DAY_MS + 1, DAY_MS, 1, 0, -1, -2]
    assert [found[f"ann{n}"] for n in range(9)] == [-day for day in back]
    assert [found[f"bob{n}"] for n in range(3)] == [-2 * DAY_MS - 3, -2 * DAY_MS - 2, -2 * DAY_MS - 1]
    assert found["cem0"] == 0


def test_rows_stay_whole_and_in_the_order_of_time_and_id(clocked):
    events, _ = clocked
    rows = events.to_pylist()
    assert sorted((row["timestamp"], row["event_id"]) for row in rows) == [
        (r["timestamp"], r["event_id"]) for r in rows
    ]
    kept = {row["event_id"]: (row["user_id"], row["item_id"]) for row in rows}
    assert kept == {event: (user, item) for event, user, item, _ in ROWS}


def test_creation_times_of_another_clock_are_dropped(clocked):
    _, items = clocked
    for name in ("created_at", "available_until"):
        assert items[name].to_pylist() == [None] * 3 and items[name].type == pa.int64()
    assert items["available"].to_pylist() == [True, False, False], "the first had ended by the last event"


def test_the_last_two_days_are_the_windows(clocked):
    events, _ = clocked
    times = events["timestamp"].to_numpy()
    windows = split_windows(times, int(times.max()), Split(protocol="leave_last_out"))
    assert windows == Windows(LAST - DAY_MS, LAST, LAST + 1, last_out=True)
    assert (times >= windows.test_start).sum() == 3  # one of each user
    assert ((times >= windows.validation_start) & (times < windows.test_start)).sum() == 2  # cleo has no other


def test_the_clock_is_told_where_the_boundaries_are_kept(tmp_path):
    """A file of a split in time is what it was: nothing of it is made again."""
    last, time = Windows(1, 2, 3, last_out=True), Windows(1, 2, 3)
    for windows, told in ((last, {"last_out": True}), (time, {})):
        (tmp_path / "windows.json").write_text(windows.to_json())
        assert read_windows(tmp_path / "windows.json") == windows
        assert json.loads(windows.to_json()) == {"validation_start": 1, "test_start": 2, "end": 3, **told}
    assert last.text() == time.text()


def test_shares_mean_nothing_under_leave_last_out():
    times = np.repeat([1, 2, 3, 4], [100, 100, 5, 5]) * DAY_MS
    split = Split(protocol="leave_last_out", validation=0.4, test=0.4)
    assert split_windows(times, 4 * DAY_MS, split) == Windows(3 * DAY_MS, 4 * DAY_MS, 4 * DAY_MS + 1, last_out=True)


@pytest.mark.parametrize(
    ("users", "engagements", "days"),
    [(1000, 100, 5), (1000, 30, 3), (6000, 100, 1), (1000, 5, 1), (10, 4, 1), (10, 3, 1)],
    ids=["enough", "a tenth of all", "one day is enough", "one day is more than a tenth", "few", "fewest"],
)
def test_the_validation_window_has_enough_for_a_ranker_where_a_tenth_of_all_is(users, engagements, days):
    times = np.repeat(np.arange(1, engagements + 1), users) * DAY_MS
    end = engagements * DAY_MS
    windows = split_windows(times, end, Split(protocol="leave_last_out"))
    assert windows == Windows(end - days * DAY_MS, end, end + 1, last_out=True)


@pytest.mark.parametrize("times", [[], [1], [1, 2]])
def test_users_with_less_than_three_events_make_no_windows(times):
    with pytest.raises(SoukError, match="engaging events at enough times"):
        split_windows(np.array(times, np.int64) * DAY_MS, 3 * DAY_MS, Split(protocol="leave_last_out"))


def test_the_evaluation_asks_for_each_users_last_event_and_knows_all_before_it(clocked, tmp_path):
    events, _ = clocked
    rows = [row | {"event_type": "click"} for row in events.to_pylist()]
    tables, features = write_artifacts(tmp_path / "shop", rows, dict.fromkeys("abcde", True), LAST)
    windows = split_windows(events["timestamp"].to_numpy(), LAST, Split(protocol="leave_last_out"))
    (features / "windows.json").write_text(windows.to_json())
    spec = spec_of("never")
    asked = {}
    for name in ("validation", "test"):
        catalogue, window = read_window(tables, features, spec, name)
        queries = rolling_queries(window, catalogue, spec, most=20)
        asked[name] = {
            query.user_id: ("".join(catalogue.ids[i] for i in query.history), catalogue.ids[query.targets[0]])
            for query in queries
        }
        assert len(asked[name]) == len(queries)
    assert asked["test"] == {"ann": ("abcd", "e"), "bob": ("a", "b"), "cleo": ("", "a")}
    assert asked["validation"] == {"ann": ("abc", "d"), "bob": ("", "a")}
