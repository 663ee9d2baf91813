"""Cutting histories: whatever the ties and hops, a target's tokens are those that serving would compute."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from souk.config import Objective
from souk.features.rows import MAX_TARGETS, sequence_rows
from souk.state import Event, features_at, habits_at, state_of
from souk.state_rows import profile_of
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())
PROFILE = profile_of({"country": "fr", "age": 3.0, "hobbies": ["go"]}, SPEC)
HOP = SPEC.history_length // 2


@st.composite
def histories(draw):
    step = st.tuples(st.integers(0, 2), st.sampled_from(["click", "impression", "return"]))
    length = draw(st.integers(0, 60))  # drawn of itself it is short, and windows do not move
    steps = draw(st.lists(step, min_size=length, max_size=length))
    time, events = 1_700_000_000_000, []
    for number, (gap, kind) in enumerate(steps):
        time += gap * 40_000_000
        events.append(Event(f"i{number % 5}", kind, time, math.nan, f"e{number:03d}", 9.0, {"device": "ios"}))
    return events


def rows_of(events):
    return list(sequence_rows("u", events, PROFILE, SPEC, 2_000_000_000_000))


@settings(max_examples=150)
@given(histories())
def test_every_target_sees_what_serving_computes(events):
    rows = rows_of(events)
    seen = []
    for row in rows:
        for target in row.targets:
            time = target.event.timestamp
            before = state_of("u", [event for event in events if event.timestamp < time], SPEC, PROFILE)
            after = state_of("u", [event for event in events if event.timestamp <= time], SPEC, PROFILE)
            known = after.count - before.count <= HOP  # one that took more at once has forgotten some of the window
            for state in (before, *([after] if known else [])):  # one that holds the target already must not show it
                served = features_at(state, time, SPEC, target.event.context)
                visible = {name: values[: target.visible] for name, values in row.tokens.items()}
                assert repr(visible) == repr(served.tokens)
                assert repr(target.query) == repr(served.query)
                assert repr(row.user) == repr(served.user)
                assert row.habits == habits_at(state, time, SPEC)
            seen.append(target.event.event_id)
    assert seen == [event.event_id for event in events if event.event_type == "click"]


@pytest.mark.slow
def test_a_user_with_100_000_events_is_rows_of_a_bounded_size():
    """Of one item again and again, so that each label has all the others behind it: a square would not end here."""
    start = 1_700_000_000_000
    events = [Event("i1", "click", start + 1000 * n, math.nan, f"e{n:06d}", 9.0, {}) for n in range(100_000)]
    count = 0
    for row in sequence_rows("u", events, PROFILE, SPEC, 2_000_000_000_000):
        assert len(row.targets) <= MAX_TARGETS and len(row.tokens["token_item_id"]) < SPEC.history_length
        assert row.targets[0].event.event_id == f"e{count:06d}"
        count += len(row.targets)
    assert count == len(events)


@settings(max_examples=100)
@given(histories())
def test_a_row_has_one_start_and_is_no_longer_than_its_longest_window(events):
    rows = rows_of(events)
    acts = [event for event in events if event.event_type != "impression"]
    assert len({row.row_id for row in rows}) == len(rows)
    for row in rows:
        counts = [sum(act.timestamp < target.event.timestamp for act in acts) for target in row.targets]
        starts = {max(0, count // HOP - 1) for count in counts}
        assert [row.row_id.split(":")[1]] == [str(start) for start in starts]
        assert len(row.tokens["token_item_id"]) == max(target.visible for target in row.targets) < SPEC.history_length
        assert 0 < len(row.targets) <= MAX_TARGETS


@pytest.mark.parametrize(("events", "visible"), [(3, 3), (4, 4), (7, 7), (8, 4), (11, 7), (12, 4)])
def test_windows_hop(events, visible):
    history = [Event("i", "click", 1_700_000_000_000 + n * 1000, math.nan, f"e{n:03d}") for n in range(events + 1)]
    assert rows_of(history)[-1].targets[-1].visible == visible


def test_a_crowd_of_one_time_is_split_and_sees_the_same_past():
    crowd = [Event("i", "click", 1_700_000_005_000, math.nan, f"f{n:03d}") for n in range(MAX_TARGETS * 2 + 5)]
    first = Event("j", "click", 1_700_000_000_000, math.nan, "e")
    rows = rows_of([first, *crowd])
    assert [row.row_id for row in rows] == ["u:0:0", "u:0:1", "u:0:2"]
    assert [len(row.targets) for row in rows] == [MAX_TARGETS, MAX_TARGETS, 6]
    assert [row.tokens["token_item_id"] for row in rows] == [["j"]] * 3


AGAIN = Objective(events=("purchase",), followed_by=("purchase",), within_days=30)
DAY = 86_400_000
FIRST = 1_700_000_000_000


def labels_of(objective, *days):
    """The satisfied labels of purchases of one item on `days`."""
    objectives = SPEC.objectives.model_copy(update={"satisfied": objective, "engaged": Objective(events=("purchase",))})
    bought = [Event("i", "purchase", FIRST + int(d * DAY), math.nan, f"p{n:06d}") for n, d in enumerate(days)]
    rows = sequence_rows("u", bought, PROFILE, replace(SPEC, objectives=objectives), FIRST + 100 * DAY)
    return [target.labels["satisfied"].value for row in rows for target in row.targets]


def test_bought_again_is_later_and_no_second_line_of_the_same_moment():
    assert labels_of(AGAIN, 1, 1, 20, 60) == [1, 1, 0, 0]
    assert labels_of(AGAIN, 1, 1) == [0, 0]
    assert labels_of(AGAIN, 1, 90) == [0, -1]


@pytest.mark.parametrize(("any_item", "expected"), [(True, [1, 1, 1, 0, 0, 0, -1]), (False, [0, 0, 1, 0, 0, 0, -1])])
def test_another_visit_is_later_than_this_one_and_with_whatever_item(any_item, expected):
    """Three clicks of a visit, the third on what is clicked again three days later; a long pause; another visit."""
    rule = Objective(
        events=("click",), followed_by=("click",), unless=("return",), any_item=any_item, from_days=0.25, within_days=7
    )
    objectives = SPEC.objectives.model_copy(update={"satisfied": rule, "engaged": Objective(events=("click",))})
    acts = [("a", 0), ("b", 0.1), ("c", 0.2), ("c", 3), ("d", 20), ("d", 20.1), ("a", 95)]
    events = [Event(item, "click", FIRST + int(d * DAY), math.nan, f"c{n}") for n, (item, d) in enumerate(acts)]
    events.insert(3, Event("d", "return", FIRST + DAY, math.nan, "r"))  # of what none of them is about
    rows = sequence_rows("u", events, PROFILE, replace(SPEC, objectives=objectives), FIRST + 100 * DAY)
    assert [target.labels["satisfied"].value for row in rows for target in row.targets] == expected


def test_a_hide_that_is_taken_back_in_time_is_none():
    rule = Objective(events=("click",), unless=("hide",), within_days=7)
    objectives = SPEC.objectives.model_copy(update={"satisfied": rule, "engaged": Objective(events=("click",))})
    back = [("a", 1, 1.0), ("a", 2, 0.0), ("b", 1, 1.0), ("b", 9, 0.0), ("c", 1, 0.0), ("d", 1, 1.0), ("d", 2, 0.0)]
    hides = [Event(i, "hide", FIRST + d * DAY, v, f"h{n}") for n, (i, d, v) in enumerate([*back, ("d", 3, math.nan)])]
    clicks = [Event(item, "click", FIRST, math.nan, item) for item in "abcd"]
    events = sorted([*clicks, *hides], key=lambda event: event.order)
    rows = sequence_rows("u", events, PROFILE, replace(SPEC, objectives=objectives), FIRST + 100 * DAY)
    assert [target.labels["satisfied"].value for row in rows for target in row.targets] == [1, 0, 1, 0]


def test_labels_of_a_long_history_take_a_look_up_each(monkeypatch):
    looked = 0

    def counted(event):
        nonlocal looked
        looked += 1
        return event.timestamp

    monkeypatch.setattr("souk.features.rows._time", counted)
    found = labels_of(AGAIN, *np.linspace(0, 50, 400))
    assert found == [1] * 399 + [0]
    assert looked < 400 * 12  # two to the power of nine is more than 400
