"""Objectives whose bars hardly an event reaches."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Objective, Objectives
from souk.features.bars import far_bars
from souk.schema import EventType

CLICKS = Objective(events=(EventType.CLICK,))
ROWS = pa.table(
    {
        "event_type": ["click"] * 1000 + ["purchase"],
        "dwell_seconds": pa.array([None, *range(1, 1000), None], pa.float64()),
        "value": pa.array([None] * 1000 + [8], pa.float64()),
    }
)
FAR = "and 0 of the 999 dwell_seconds of its events are that or more, the highest is 999: hardly one is positive"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({}, ""),
        ({"min_dwell_seconds": 30}, ""),
        ({"min_dwell_seconds": 999}, ""),  # one of 999 is more than hardly any
        ({"min_dwell_seconds": 30_000}, f"satisfied: min_dwell_seconds is 30,000, {FAR}; is it in another unit?"),
        ({"min_value": 4}, "satisfied: min_value is 4, and none of its 1,000 events has a value: none is positive"),
        ({"min_value": 4, "events": ["purchase"]}, ""),
        ({"min_value": 4, "events": ["rating", "purchase"]}, ""),
        ({"min_value": 4, "events": ["rating"]}, ""),  # there are none
    ],
)
def test_bars_that_no_event_reaches(tmp_path: Path, rule: dict[str, Any], told: str) -> None:
    """A thousand clicks, 1 to 999 seconds long and one of an unknown time; a purchase of 8."""
    pq.write_table(ROWS, tmp_path / "events.parquet", row_group_size=300)
    objectives = Objectives(engaged=CLICKS, satisfied=Objective.model_validate({"events": ["click"], **rule}))
    assert list(far_bars(tmp_path / "events.parquet", objectives)) == ([told] if told else [])


def test_every_objective_has_its_bars_and_events_may_lack_the_column(tmp_path: Path) -> None:
    pq.write_table(ROWS.drop_columns("dwell_seconds"), tmp_path / "events.parquet")
    long = {"events": ["click"], "min_dwell_seconds": 9, "weight": 1}
    high = {"events": ["purchase"], "min_value": 9}
    objectives = Objectives.model_validate({"engaged": CLICKS, "satisfied": high, "long": long})
    found = list(far_bars(tmp_path / "events.parquet", objectives))
    assert [line.split(",")[0] for line in found] == ["satisfied: min_value is 9", "long: min_dwell_seconds is 9"]


@pytest.mark.parametrize(("reaching", "told"), [(1, True), (2, True), (3, False)])
def test_one_in_a_thousand_is_hardly_an_event(tmp_path: Path, reaching: int, told: bool) -> None:
    dwell = pa.array([9_000.0] * reaching + [9.0] * (2000 - reaching))
    pq.write_table(pa.table({"event_type": ["click"] * 2000, "dwell_seconds": dwell}), tmp_path / "events.parquet")
    objectives = Objectives(engaged=CLICKS, satisfied=Objective(events=CLICKS.events, min_dwell_seconds=5000))
    assert bool(list(far_bars(tmp_path / "events.parquet", objectives))) == told


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            {"min_value": 4, "min_dwell_seconds": 30},
            "min_value is 4 and min_dwell_seconds 30, and 2 of its 2,000 events",
        ),
        ({"min_value": 1, "min_dwell_seconds": 30}, ""),  # three
        ({"min_value": 4, "min_dwell_seconds": 900, "events": ["click"]}, "min_dwell_seconds is 900, and 0 of the"),
        ({"min_value": 4, "min_dwell_seconds": 30, "events": ["purchase"]}, ""),
    ],
)
def test_two_bars_that_no_event_meets_together(tmp_path: Path, rule: dict[str, Any], told: str) -> None:
    """Of two thousand events each meets one of the bars, two of them both."""
    value = pa.array([5.0] * 1000 + [5.0, 5.0, 2.0] + [None] * 997)
    dwell = pa.array([None] * 1000 + [60.0] * 1000)
    table = pa.table({"event_type": ["click"] * 2000, "value": value, "dwell_seconds": dwell})
    pq.write_table(table, tmp_path / "events.parquet", row_group_size=300)
    objectives = Objectives(engaged=CLICKS, satisfied=Objective.model_validate({"events": ["click"], **rule}))
    found = list(far_bars(tmp_path / "events.parquet", objectives))
    assert len(found) == bool(told) and all(told in line for line in found), found


def test_the_bar_of_what_engages_is_looked_at_too(tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "events.parquet")
    far = CLICKS.model_copy(update={"min_dwell_seconds": 30_000})
    (line,) = far_bars(tmp_path / "events.parquet", Objectives(engaged=far, satisfied=CLICKS))
    assert line.startswith("engaged: min_dwell_seconds is 30,000")


@pytest.mark.parametrize("likes", [0, 1, 3])
@pytest.mark.parametrize(("column", "key"), [("dwell_seconds", "min_dwell_seconds"), ("value", "min_value")])
def test_a_type_that_never_has_what_the_bar_asks_for_is_told(tmp_path: Path, likes: int, column: str, key: str) -> None:
    """Of the plays one in two has it; of the likes none, and once one has, nothing is told."""
    kinds, values = ["click"] * 10 + ["rating"] * likes, [9.0, None] * 5 + [None] * likes
    pq.write_table(pa.table({"event_type": kinds, column: values}), tmp_path / "events.parquet")
    rule = {"events": ["click", "rating", "cart"], key: 5}
    objectives = Objectives(engaged=CLICKS, satisfied=Objective.model_validate(rule))
    told = f"satisfied: {key} is 5, and none of its {likes} events of type rating has a {column}: none of these is"
    found = list(far_bars(tmp_path / "events.parquet", objectives))
    assert len(found) == bool(likes) and all(line.startswith(told) for line in found), found
    kinds, values = [*kinds, "rating"], [*values, 1.0]
    pq.write_table(pa.table({"event_type": kinds, column: values}), tmp_path / "events.parquet")
    assert list(far_bars(tmp_path / "events.parquet", objectives)) == []
