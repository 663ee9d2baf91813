"""Windows, alarms and the state: what is counted once stays counted, and nothing is taken by half."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from souk.drift.alarm import Bell
from souk.drift.detector import Settings
from souk.drift.rows import Row
from souk.drift.state import KEPT_WINDOWS, State
from souk.drift.windows import Monitor
from souk.errors import SoukError
from tests.drift.shop import NOON, SMALL, as_rows, monitor, moved, some, traffic

WEST = {"user_region": some(0.4, "west")}


@pytest.fixture(scope="module")
def base(release: Path) -> Monitor:
    return monitor(release)


@pytest.fixture
def fresh(base: Monitor) -> Monitor:
    """A monitor with an empty state; the detector is built once."""
    return Monitor(base.detector, State.open(None, base.detector.release))


def rows(count: int, seed: int, start: int, **planted: Any) -> list[Row]:
    return as_rows(traffic(count, seed, **planted), start)


def test_a_window_closes_when_it_is_full(fresh: Monitor) -> None:
    assert fresh.take(rows(399, 2, 0), {}) == []
    [window] = fresh.take(rows(2, 3, 399), {})
    assert (window.number, window.rows, window.tested) == (1, 400, True)
    assert fresh.state.open_window().rows == 1
    assert fresh.state.totals() == {"rows_record": 401, "windows": 1}


def test_one_batch_may_close_several_windows(fresh: Monitor) -> None:
    assert [w.number for w in fresh.take(rows(1000, 2, 0), {})] == [1, 2]
    assert fresh.state.open_window().rows == 200


def test_an_old_window_closes_with_what_it_has(fresh: Monitor) -> None:
    week = 7 * 86_400_000
    fresh.take(as_rows(traffic(150, 2), 0, NOON), {})
    assert fresh.close_due(NOON + week) == []
    [window] = fresh.take(as_rows(traffic(1, 3), 150, NOON + week + 1), {})
    assert (window.rows, window.tested, window.began, window.ended) == (150, True, NOON, NOON + 149_000)
    [rest] = fresh.close_due(NOON + 3 * week)
    assert (rest.rows, rest.tested, rest.columns) == (1, False, ())
    assert fresh.state.totals()["untested_windows"] == 1
    assert fresh.close_due(NOON + 9 * week) == [], "an empty window has no age"


def test_a_window_that_has_enough_since_windows_became_smaller_closes(base: Monitor, fresh: Monitor) -> None:
    fresh.take(rows(300, 2, 0), {})
    assert fresh.close_due(NOON) == []
    kept = base.detector.settings
    base.detector.settings = Settings(rows=250, min_rows=100, max_age_seconds=kept.max_age_seconds)
    try:
        [window] = fresh.close_due(NOON)
    finally:
        base.detector.settings = kept
    assert (window.rows, window.tested) == (300, True)


def test_an_alarm_takes_windows_in_a_row_of_the_same_feature(fresh: Monitor) -> None:
    stream = [WEST, {}, {"user_age": 30.0}, WEST, WEST, WEST, {}]
    alarms = []
    for number, planted in enumerate(stream):
        [window] = fresh.take(rows(400, 20 + number, 400 * number, **planted), {})
        assert bool(window.drifted) == bool(planted)
        alarms.append(window.alarm)
    assert alarms == [(), (), (), (), ("user_region",), ("user_region",), ()]
    assert fresh.state.totals()["alarms"] == 2


def test_a_window_that_is_too_small_to_test_does_not_break_the_row(base: Monitor) -> None:
    settings = Settings(rows=400, min_rows=100, max_age_seconds=600)
    tight = Monitor(base.detector, State.open(None, base.detector.release))
    tight.detector.settings, kept = settings, base.detector.settings
    try:
        tight.take(rows(400, 31, 0, **WEST), {})
        tight.take(as_rows(traffic(10, 32), 400, NOON + 1_000_000), {})
        [small, _] = [*tight.close_due(NOON + 9_000_000), None]
        assert not small.tested
        [window] = tight.take(as_rows(traffic(400, 33, **WEST), 500, NOON + 10_000_000), {})
    finally:
        base.detector.settings = kept
    assert window.alarm == ("user_region",)


def test_a_restart_goes_on_where_it_was(release: Path, tmp_path: Path, base: Monitor) -> None:
    first = Monitor(base.detector, State.open(tmp_path, base.detector.release))
    first.take(rows(600, 41, 0, **WEST), {"other_release": 3})
    first.state.close()
    second = Monitor(base.detector, State.open(tmp_path, base.detector.release))
    assert second.state.open_window().rows == 200
    [window] = second.take(rows(200, 42, 600, **WEST), {})
    assert (window.number, window.alarm) == (2, ("user_region",))
    assert second.state.totals()["other_release"] == 3
    assert [w.number for w in second.last()] == [1, 2]
    assert second.last()[1] == window


def test_a_batch_that_fails_is_not_taken_at_all(fresh: Monitor) -> None:
    def broken() -> Any:
        yield from rows(500, 2, 0)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        fresh.take(broken(), {"other_release": 1}, file="a.parquet")
    assert fresh.state.totals() == {} and fresh.state.open_window().rows == 0 and fresh.last() == []
    assert fresh.state.unread(["a.parquet"]) == ["a.parquet"]


def test_a_request_that_is_sent_twice_counts_once(fresh: Monitor) -> None:
    fresh.take(rows(10, 2, 0), {})
    fresh.take(rows(12, 2, 0), {})
    assert fresh.state.open_window().rows == 12
    assert fresh.state.totals()["repeated"] == 10


def test_calls_and_answers_fill_one_window(fresh: Monitor) -> None:
    for number in range(5):
        fresh.take([Row("request", f"{number}/0", NOON, {"context_device": "mobile"}, 0)], {})
        fresh.take([Row("response", f"{number}/0", NOON, {"slate_score": 0.1}, 0)], {})
    assert fresh.state.open_window().rows == 5


def test_only_the_last_windows_are_kept(fresh: Monitor) -> None:
    with fresh.state.change():
        for _ in range(KEPT_WINDOWS + 3):
            fresh.state.close_window({})
    numbers = [window["number"] for window in fresh.state.windows()]
    assert numbers == list(range(4, KEPT_WINDOWS + 4))


def alarmed(fresh: Monitor) -> Monitor:
    for number in range(2):
        fresh.take(rows(400, 51 + number, 400 * number, **WEST), {})
    return fresh


def test_an_alarm_is_told_once_with_the_features_by_strength(
    fresh: Monitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bell = Bell(alarmed(fresh).state, tmp_path)
    bell.ring()
    told = json.loads((tmp_path / "alarm.json").read_text())
    assert (told["window"], told["rows"], told["features"][0]["feature"]) == (2, 400, "user_region")
    assert told["features"][0]["windows"] == 2
    assert caplog.text.count("drift alarm") == 1 and "user_region (values, p " in caplog.text
    (tmp_path / "alarm.json").unlink()
    fresh.take(rows(400, 60, 1200, **WEST), {})
    bell.ring()
    assert not (tmp_path / "alarm.json").exists(), "the alarm goes on, and is not told again"
    fresh.take(rows(400, 61, 1600), {})
    for number in range(2):
        fresh.take(rows(400, 62 + number, 2000 + 400 * number, **WEST), {})
    bell.ring()
    assert json.loads((tmp_path / "alarm.json").read_text())["window"] == 6, "a new one is"


def test_each_alarm_of_one_pass_is_told(fresh: Monitor, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, planted in enumerate([WEST, WEST, {}, {"user_age": 30.0}, {"user_age": 30.0}]):
        fresh.take(rows(400, 51 + number, 400 * number, **planted), {})
    bell = Bell(fresh.state, tmp_path)
    assert (bell.ring(), bell.ring()) == (2, 0)
    first, second = [text for text in caplog.messages if "drift alarm" in text]
    assert "window 2: user_region" in first and "window 5: user_age" in second
    assert json.loads((tmp_path / "alarm.json").read_text())["window"] == 5, "the file is of the last"


def test_a_feature_that_drifts_beside_one_that_is_told_is_told_too(fresh: Monitor) -> None:
    both = WEST | {"user_age": 30.0}
    for number, planted in enumerate([WEST, WEST, WEST, both, both, both, WEST, both, both]):
        fresh.take(rows(400, 51 + number, 400 * number, **planted), {})
    told = [(each["window"], {f["feature"] for f in each["features"]}) for each in fresh.state.untold()]
    assert told == [(2, {"user_region"}), (5, {"user_region", "user_age"}), (9, {"user_region", "user_age"})]


def scoreless(row: Row) -> Row:
    """The row of a request whose slate no model scored."""
    return replace(row, cells={name: cell for name, cell in row.cells.items() if name != "slate_score"})


def test_an_alarm_goes_on_while_its_feature_cannot_be_tested(fresh: Monitor) -> None:
    for number in range(4):
        taken = rows(400, 51 + number, 400 * number, slate_score=moved(-0.05))
        [window] = fresh.take(map(scoreless, taken) if number == 2 else taken, {})
    assert [each["window"] for each in fresh.state.untold()] == [2]
    assert [each.alarm for each in fresh.last()] == [(), ("slate_score",), ("slate_score",), ("slate_score",)]
    assert next(column.windows for column in window.columns if column.name == "slate_score") == 3


def test_an_alarm_names_none_that_could_not_be_tested(fresh: Monitor) -> None:
    low, old = {"slate_score": moved(-0.05)}, {"user_age": 30.0}
    for number, planted in enumerate([low, low | old, old]):
        taken = rows(400, 51 + number, 400 * number, **planted)
        [window] = fresh.take(map(scoreless, taken) if number == 2 else taken, {})
    named = [[feature["feature"] for feature in each["features"]] for each in fresh.state.untold()]
    assert (named, window.alarm) == ([["slate_score"], ["user_age"]], ("user_age", "slate_score"))


def test_the_one_alarm_that_a_version_before_kept_is_told(fresh: Monitor, tmp_path: Path) -> None:
    fresh.state.put("untold", json.dumps({"release": "shop", "window": 2, "features": []}))
    assert (Bell(fresh.state, tmp_path).ring(), fresh.state.get("untold")) == (1, "")


def test_an_alarm_that_a_killed_process_did_not_tell_is_told_by_the_next(base: Monitor, tmp_path: Path) -> None:
    first = alarmed(Monitor(base.detector, State.open(tmp_path, base.detector.release)))
    first.state.close()
    second = State.open(tmp_path, base.detector.release)
    Bell(second, tmp_path).ring()
    assert (tmp_path / "alarm.json").exists()


def test_an_address_that_is_none_is_refused(fresh: Monitor) -> None:
    with pytest.raises(SoukError, match="http://"):
        Bell(fresh.state, None, "file:///etc/passwd")


def test_small_settings_are_what_these_tests_think() -> None:
    assert (SMALL.rows, SMALL.consecutive, SMALL.max_age_seconds) == (400, 2, 7 * 86_400)
