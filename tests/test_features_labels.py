"""Labels and the time at which they become known, on events with known answers."""

import math

import numpy as np
import pytest

from souk.config import Objective, Split, parse_config, parse_step_config
from souk.errors import SoukError
from souk.features.labels import UNKNOWN, Label, check_objectives, label, never_known
from souk.features.windows import Windows, split_windows
from souk.schema import DAY_MS
from souk.state import Event
from souk.steps.build_features import spec_of as specify
from tests.features_fixtures import CONFIG, bazaar_events, spec_of, write_tables

END = 100 * DAY_MS


def event(kind, day, value=math.nan, dwell=math.nan):
    return Event("i", kind, int(day * DAY_MS), value, f"{kind}{day}", dwell)


KEPT = Objective(events=("purchase",), unless=("return",), within_days=10)
BOUGHT = Objective(events=("click",), followed_by=("purchase",), within_days=10)
VISIT = Objective(events=("click",), followed_by=("click",), any_item=True, from_days=0.25, within_days=7)
LIKED = Objective(events=("click",), unless=("hide",), within_days=10)
LEFT = Objective(events=("click",), followed_by=("hide",), from_days=1, within_days=10)
BOTH = Objective(events=("click",), followed_by=("purchase",), unless=("return",), within_days=10)


@pytest.mark.parametrize(
    ("objective", "first", "later", "expected"),
    [
        (Objective(events=("rating",), min_value=4), event("rating", 1, 4.0), [], (1, 1)),
        (Objective(events=("rating",), min_value=4), event("rating", 1, 3.0), [], (0, 1)),
        (Objective(events=("rating",), min_value=4), event("rating", 1), [], (0, 1)),
        (Objective(events=("click",), min_dwell_seconds=5), event("click", 1, dwell=6.0), [], (1, 1)),
        (KEPT, event("click", 1), [], (-1, 1)),
        (KEPT, event("purchase", 1), [], (1, 11)),
        (KEPT, event("purchase", 1), [event("return", 4)], (0, 11)),
        (KEPT, event("purchase", 1), [event("return", 11)], (0, 11)),
        (KEPT, event("purchase", 1), [event("return", 11.1)], (1, 11)),
        (KEPT, event("purchase", 89), [], (1, 99)),
        (KEPT, event("purchase", 90), [], (-1, 100)),
        (KEPT, event("purchase", 90), [event("return", 95)], (-1, 100)),
        (BOUGHT, event("click", 1), [event("cart", 2), event("purchase", 3)], (1, 11)),
        (BOUGHT, event("click", 1), [], (0, 11)),
        (BOUGHT, event("click", 95), [event("purchase", 96)], (-1, 105)),
        (BOUGHT, event("click", 95), [], (-1, 105)),
        (VISIT, event("click", 1), [event("click", 1.1)], (0, 8)),
        (VISIT, event("click", 1), [event("click", 1.1), event("click", 1.25)], (1, 8)),
        (VISIT, event("click", 1), [event("click", 8.1)], (0, 8)),
        (VISIT, event("click", 93), [event("click", 94)], (-1, 100)),
        (BOTH, event("click", 1), [event("purchase", 3)], (1, 11)),
        (BOTH, event("click", 1), [event("purchase", 3), event("return", 5)], (0, 11)),
        (LIKED, event("click", 1), [event("hide", 2)], (0, 11)),
        (LIKED, event("click", 1), [event("hide", 2), event("hide", 3, 0.0)], (1, 11)),
        (LIKED, event("click", 1), [event("hide", 2, 0.0)], (1, 11)),
        (LIKED, event("click", 1), [event("hide", 2), event("hide", 3, 0.0), event("hide", 4)], (0, 11)),
        (LIKED, event("click", 1), [event("hide", 2), event("hide", 12, 0.0)], (0, 11)),
        (LIKED, event("click", 1), [event("hide", 2), event("hide", 2, 0.0)], (0, 11)),
        (LEFT, event("click", 1), [event("hide", 2)], (1, 11)),
        (LEFT, event("click", 1), [event("hide", 2), event("hide", 3, 0.0)], (0, 11)),
    ],
)
def test_known_answers(objective, first, later, expected):
    value, day = expected
    assert label(objective, first, later, END) == Label(value, day * DAY_MS)


@pytest.mark.parametrize("known_until", [20, 50, 90])
def test_what_is_known_at_any_time_is_as_satisfied_as_everything(known_until):
    """A purchase a day, every second one returned the day after: early returns alone would look like half and more."""
    told = [label(KEPT, event("purchase", d), [event("return", d + 1)] * (d % 2), END) for d in range(1, 100)]
    known = [each.value for each in told if each.known_at < known_until * DAY_MS and each.value >= 0]
    assert len(known) == known_until - 11
    assert abs(np.mean(known) - 0.5) < 0.06


@pytest.mark.parametrize(("days", "told"), [(19.9, []), (20, ["satisfied"])])
def test_a_window_as_long_as_the_data_is_told(days, told):
    """The only label is that of a purchase at the very beginning; `back`, of two days, has some."""
    assert label(KEPT.model_copy(update={"within_days": days}), event("purchase", 0), [], 20 * DAY_MS).value == (
        UNKNOWN if told else 1
    )
    config = parse_config(CONFIG.replace("within_days: 3", f"within_days: {days}"))
    lines = list(never_known(config.objectives, 0, 20 * DAY_MS))
    assert [line.partition(":")[0] for line in lines] == told
    assert all("within_days is 20, and the events are of 20 days: no label" in line for line in lines)


def test_what_waits_for_nothing_has_labels_at_once():
    at_once = CONFIG.replace("unless: [return], within_days: 3", "within_days: 300")
    assert not list(never_known(parse_config(at_once).objectives, 0, 20 * DAY_MS))


def test_the_build_begins_with_windows_that_are_too_long(tmp_path, capfd):
    config = parse_config(CONFIG.replace("within_days: 3", "within_days: 30"))
    tables = write_tables(tmp_path / "tables", bazaar_events())  # of 21 days
    specify(parse_step_config("build_features", config.for_step("build_features")), tables)
    told = "".join(capfd.readouterr())
    assert "satisfied: within_days is 30, and the events are of 20.8 days: no label" in told
    assert (
        "back: within_days is 2, and the events are" not in told
        and "satisfied: within_days is 30, and the val" not in told
    )
    split = config.split.model_copy(update={"protocol": "leave_last_out"})  # whose times are counts: it knows no pause
    repeat = config.repeat.model_copy(update={"pause_minutes": 0})
    last_out = config.model_copy(update={"split": split, "repeat": repeat})
    specify(parse_step_config("build_features", last_out.for_step("build_features")), tables)
    assert "within_days" not in "".join(capfd.readouterr()), "its clock is made up"


def test_a_long_time_is_told_in_whole_days():
    config = parse_config(CONFIG.replace("within_days: 3", "within_days: 2000"))
    (line,) = never_known(config.objectives, 0, int(1234.5 * DAY_MS))
    assert "the events are of 1,234 days:" in line


@pytest.mark.parametrize(
    "rule", [{"any_item": True}, {"from_days": 1}, {"followed_by": ["click"], "from_days": 7, "within_days": 7}]
)
def test_a_return_that_cannot_be_is_refused(rule):
    with pytest.raises(ValueError, match=r"any_item and from_days|is not below within_days"):
        Objective.model_validate({"events": ["click"], **rule})


def test_an_engagement_that_the_future_decides_is_refused():
    rule = "engaged: {events: [click], unless: [return]}"
    config = parse_config(CONFIG.replace("engaged: {events: [click, purchase]}", rule))
    with pytest.raises(SoukError, match=r"objectives\.engaged"):
        check_objectives(spec_of(config))


def test_windows_hold_their_shares():
    windows = split_windows(np.arange(100), 120, Split(validation=0.2, test=0.1))
    assert windows == Windows(validation_start=70, test_start=90, end=121)


def test_events_of_one_time_go_to_the_later_window():
    times = np.array([1] * 60 + [2] * 25 + [3] * 15)
    assert split_windows(times, 3, Split(validation=0.1, test=0.1)) == Windows(2, 3, 4)


@pytest.mark.parametrize("times", [[], [5, 5, 5, 5], [1, 2], [1] * 85 + [2] * 15, [1] * 5 + [2] * 95])
def test_too_little_time_is_refused(times):
    with pytest.raises(SoukError, match="engaging events at enough times"):
        split_windows(np.array(times, np.int64), 5, Split())
