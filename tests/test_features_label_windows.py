"""Which labels the windows will have: as one by one, and what is told of too few, or of one kind."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Objective, parse_config, parse_step_config
from souk.features.label_windows import _frame, _labels, few_labels
from souk.features.labels import label
from souk.features.rows import _Labels as OneByOne
from souk.features.windows import split_windows
from souk.schema import DAY_MS
from souk.state import Event
from souk.steps.build_features import spec_of
from tests.features_fixtures import CONFIG, bazaar_events, write_tables

KINDS = ["click", "cart", "purchase", "return", "hide"]
RULES = {
    "at once": Objective(events=("purchase",), min_value=5),
    "kept": Objective(events=("purchase",), unless=("return",), within_days=3),
    "bought": Objective(events=("click", "cart"), followed_by=("purchase",), within_days=2, min_value=3),
    "both": Objective(events=("click",), followed_by=("purchase",), unless=("return",), within_days=4),
    "visit": Objective(events=("click",), followed_by=("click",), any_item=True, from_days=0.25, within_days=3),
    "liked": Objective(events=("click",), unless=("hide", "return"), within_days=3),
    "left": Objective(events=("click",), followed_by=("cart", "hide"), from_days=0.5, within_days=4),
    "once": Objective(events=("click",), unless=("click",), within_days=1),
    "never": Objective(events=("click",), unless=("impression",), within_days=1),
}


def drawn(count=600, every=1):
    """Events at multiples of `every` milliseconds: where these are few, many at one time."""
    draw = np.random.default_rng(3)
    times = every * np.sort(draw.choice(20 * DAY_MS // every, count, replace=every > 1))
    return pa.table(
        {
            "user_id": [f"u{n}" for n in draw.integers(0, 12, count)],
            "item_id": [f"i{n}" for n in draw.integers(0, 5, count)],
            "event_type": [KINDS[n] for n in draw.integers(0, len(KINDS), count)],
            "timestamp": times,
            "value": draw.uniform(0, 10, count) * draw.integers(0, 2, count),
        }
    )


@pytest.mark.parametrize("name", RULES)
def test_labels_of_many_are_those_of_each(name):
    rows, rule, end = drawn(), RULES[name], 20 * DAY_MS
    events = [
        (row["user_id"], Event(row["item_id"], row["event_type"], row["timestamp"], row["value"], str(n), math.nan))
        for n, row in enumerate(rows.to_pylist())
    ]
    expected = []
    for n, (user, event) in enumerate(events):
        own = [other for who, other in events[n + 1 :] if who == user]
        own = own if rule.any_item else [other for other in own if other.item_id == event.item_id]
        told = label(rule, event, own, end)
        if event.event_type in rule.events:
            expected.append((event.timestamp, told.known_at, told.value))
    carries = np.isin(rows["event_type"].to_pandas(), rule.events)
    found = _labels(_frame(rows), carries, rule, rows)
    assert found.times.tolist() == [time for time, _, _ in expected]
    assert found.known_at.tolist() == [known for _, known, _ in expected]
    known = np.array([value >= 0 for _, _, value in expected])
    assert found.positive[known].tolist() == [value == 1 for _, _, value in expected if value >= 0]
    assert name == "never" or 0.02 < found.positive[known].mean() < 0.98
    for start, stop in ((0, end), (9 * DAY_MS, 15 * DAY_MS)):
        here = [each for each in expected if start <= each[0] < stop]
        ready = [each for each in here if each[1] < stop]
        assert found.within(start, stop) == (len(here), len(ready), sum(value == 1 for _, _, value in ready))


@pytest.mark.parametrize("name", RULES)
def test_labels_of_events_of_one_day_are_the_same_whatever_their_ids(name):
    """Of dates a return of the day of its purchase has the time of that, and ids that are made are hashes."""
    rows, rule, end = drawn(every=DAY_MS), RULES[name], 20 * DAY_MS
    carries = np.isin(rows["event_type"].to_pandas(), rule.events)
    expected = _labels(_frame(rows), carries, rule, rows)
    for step in (1, -1):
        events: dict[str, list[Event]] = {}
        for n, row in enumerate(rows.to_pylist()):
            own = row["item_id"], row["event_type"], row["timestamp"], row["value"], f"{step * n + 1000}"
            events.setdefault(row["user_id"], []).append(Event(*own))
        labels = {}
        for own in events.values():
            ordered = sorted(own, key=lambda event: event.order)
            each = OneByOne(ordered, rule, end)
            labels |= {event.event_id: each.of(event).value for event in own}
        found = np.array([labels[f"{step * n + 1000}"] for n in np.flatnonzero(carries)])
        assert found[found >= 0].tolist() == expected.positive[found >= 0].tolist()
        assert name == "never" or 0.02 < found[found >= 0].mean() < 0.98


def test_what_comes_in_the_same_millisecond_does_not_follow():
    rows = pa.table(
        {
            "user_id": ["a", "a", "b", "b"],
            "item_id": ["i"] * 4,
            "event_type": ["click", "purchase"] * 2,
            "timestamp": [5, 5, 6, 7],
        }
    )
    rule = Objective(events=("click",), followed_by=("purchase",), within_days=1)
    assert _labels(_frame(rows), np.array([True, False] * 2), rule, rows).positive.tolist() == [False, True]
    undone = Objective(events=("click",), unless=("purchase",), within_days=1)
    assert _labels(_frame(rows), np.array([True, False] * 2), undone, rows).positive.tolist() == [False, False]


def clicks(days, every=0.1, bought=()):
    """A click each tenth of a day by users of their own, and purchases of those at the days `bought`."""
    times = np.arange(0, days, every)
    rows = [(f"u{n}", "click", time) for n, time in enumerate(times)]
    rows += [(f"u{round(day / every)}", "purchase", day + 0.01) for day in bought]
    rows.sort(key=lambda row: row[2])
    users, kinds, when = zip(*rows, strict=True)
    stamps = [int(time * DAY_MS) for time in when]
    return pa.table({"user_id": users, "item_id": ["i"] * len(rows), "event_type": kinds, "timestamp": stamps})


def told(tmp_path, rows, rule, engaged=("click",)):
    """Lines where all of `engaged` engage."""
    objectives = f"{{engaged: {{events: [{', '.join(engaged)}]}}, satisfied: {rule}}}"
    text = f"name: a\ndata: {{events: {{path: e}}}}\nobjectives: {objectives}"
    config = parse_config(text)
    pq.write_table(rows, tmp_path / "events.parquet")
    times = rows["timestamp"].to_numpy()
    windows = split_windows(times[np.isin(rows["event_type"].to_pandas(), engaged)], int(times[-1]), config.split)
    return [*few_labels(tmp_path / "events.parquet", config.objectives, int(times[0]), windows, config.split)]


def test_windows_that_are_too_short_are_told_with_a_split_that_would_do(tmp_path):
    """Windows of 10 days in 100; in one of 10 + 14 days 100 or more of ten a day are known after 14."""
    rule = "{events: [click], followed_by: [purchase], within_days: 14}"
    (line,) = told(tmp_path, clicks(100, bought=[80, 95]), rule)
    assert line.startswith("satisfied: within_days is 14, and the validation and test windows have 10 and 9.9 days: ")
    assert "0 of 100 labels in validation and 0 of 100 labels in test will be known (the ranker learns" in line
    assert line.endswith("; split: {validation: 0.25, test: 0.25} would have 110 and 110")


def test_fewer_are_proposed_where_no_split_has_many(tmp_path):
    """Of a click a day, a window of 35 days has 21 whose label is known after 14; one of 30 has 16."""
    rule = "{events: [click], followed_by: [purchase], within_days: 14}"
    (line,) = told(tmp_path, clicks(100, 1), rule)
    assert line.endswith("; split: {validation: 0.35, test: 0.35} would have 21 and 21")


def test_where_no_split_would_do_a_smaller_window_is_proposed(tmp_path):
    rule = "{events: [click], followed_by: [purchase], within_days: 40}"
    (line,) = told(tmp_path, clicks(100), rule)
    assert line.endswith("no split with 20 in each leaves 30% to train on: a smaller within_days helps, or more events")


def test_few_events_of_an_objective_that_knows_at_once_are_told(tmp_path):
    """Of a purchase a day, among ten clicks, windows of 10 days have ten; of two in all no split has 20."""
    daily, rare = clicks(100, bought=range(100)), clicks(100, bought=[85, 95])
    rule = "{events: [purchase], within_days: 3, weight: 0}"  # for nothing
    lines = [told(tmp_path, rows, rule, ("click", "purchase")) for rows in (daily, rare)]
    assert lines == [
        [
            "satisfied: the validation and test windows have 10 and 9.9 days: 10 labels in validation and 10 labels in "
            "test will be known (the ranker learns from the one and is measured on the other); "
            "split: {validation: 0.2, test: 0.2} would have 20 and 20"
        ],
        [
            "satisfied: the validation and test windows have 9.9 and 9.8 days: 1 labels in validation and 1 labels in "
            "test will be known (the ranker learns from the one and is measured on the other); "
            "no split with 20 in each leaves 30% to train on: more events help"
        ],
    ]


EARLY, LATE = [[day + n / 10 for n in range(10)] for day in (82, 92)]  # purchases of ten users in a window


@pytest.mark.parametrize(
    ("bought", "windows"), [([], ["validation", "test"]), (EARLY, ["test"]), (LATE, ["validation"]), (EARLY + LATE, [])]
)
def test_windows_without_a_positive_are_told(tmp_path, bought, windows):
    rule = "{events: [click], followed_by: [purchase], within_days: 2}"
    lines = told(tmp_path, clicks(100, bought=bought), rule)
    counts = [line.split(" known")[0] for line in lines]
    assert [line.split()[-4] for line in lines] == windows, lines
    assert all(line.startswith("satisfied: none of its ") for line in counts)


@pytest.mark.parametrize(
    ("asked", "few", "all_of_it"),
    [
        ("followed_by", "are positive", "none of its {} known labels in the test window is positive"),
        ("unless", "are not positive", "all of its {} known labels in the test window are positive: it is not learned"),
    ],
)
def test_windows_whose_labels_are_nearly_of_one_kind_are_told(tmp_path, asked, few, all_of_it):
    """Nine of the clicks of the validation window lead to a purchase, and none of the test window."""
    rule = f"{{events: [click], {asked}: [purchase], within_days: 2}}"
    first, second = told(tmp_path, clicks(100, bought=EARLY[:9]), rule)
    assert (
        first.startswith("satisfied: 9 of its ") and f" in the validation window {few}: where the users that" in first
    )
    assert all_of_it.split("{}")[1] in second and second.startswith(f"satisfied: {all_of_it.split('{}')[0]}")


@pytest.mark.parametrize(("every", "windows"), [(50, ["validation", "test"]), (45, [])])
def test_a_bar_that_nearly_all_reach_is_told(tmp_path, every, windows):
    """One of so many clicks, of a hundred a day, is shorter."""
    rows = clicks(100, 0.01)
    stays = pa.array([10.0 if n % every == 0 else 60.0 for n in range(len(rows))])
    lines = told(tmp_path, rows.append_column("dwell_seconds", stays), "{events: [click], min_dwell_seconds: 30}")
    assert [line.split(" labels in the ")[1] for line in lines] == [
        f"{name} window are positive, 98.0%: it tells next to nothing; raise its min_dwell_seconds, or let another act "
        "tell it"
        for name in windows
    ]


def test_labels_that_a_rule_cannot_make_negative_are_told_where_they_have_a_weight(tmp_path):
    lines = told(tmp_path, clicks(100), "{events: [click]}")
    assert [line.split("window")[1] for line in lines] == [" are positive: it is not learned from one kind"] * 2
    assert told(tmp_path, clicks(100), "{events: [click], weight: 0}") == []


def test_an_objective_whose_events_are_not_in_the_windows_is_told(tmp_path):
    lines = told(tmp_path, clicks(100, bought=[50]), "{events: [purchase]}", ("click", "purchase"))
    assert lines == [
        f"satisfied: no engagement in the {window} window is of purchase: no label of it there"
        for window in ("validation", "test")
    ]


def test_check_and_build_tell(tmp_path, capfd):
    """Eight tenths of the bazaar's days are before its windows, which have two each."""
    config = parse_config(CONFIG.replace("within_days: 3", "within_days: 9"))
    tables = write_tables(tmp_path / "tables", bazaar_events())
    spec_of(parse_step_config("build_features", config.for_step("build_features")), tables)
    out = "".join(capfd.readouterr())
    assert "satisfied: within_days is 9, and the validation and test windows have " in out
    split = config.split.model_copy(update={"protocol": "leave_last_out"})  # whose times are counts: it knows no pause
    repeat = config.repeat.model_copy(update={"pause_minutes": 0})
    last_out = config.model_copy(update={"split": split, "repeat": repeat})
    spec_of(parse_step_config("build_features", last_out.for_step("build_features")), tables)
    assert "within_days" not in "".join(capfd.readouterr()), "its clock is made up"
