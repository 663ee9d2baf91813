"""Habits: what was engaged with before the events that a state keeps, the same whichever way the state came to be."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.affinity import AFFINITY, TASTES
from souk.config import Objective, Objectives, Repeat
from souk.habits import Habit, known_before, remember
from souk.items import ItemTable
from souk.pair_query import PairQuery
from souk.pairs import HOURS, pair_features, pair_names
from souk.repeats import NEAR, Past, near
from souk.schema import DAY_MS
from souk.serving.events.states import Place, with_all, with_late
from souk.serving.past import before
from souk.sources.co_visitation import STEPS
from souk.spec import Entity
from souk.state import Event, UserState, engaging, features_at, habits_at, state_of, states_before, token_features, walk
from tests.features_fixtures import bazaar, spec_of
from tests.models_fixtures import cycle_spec
from tests.test_pairs import COUNTERS, ITEMS, RULES, SEGMENTS, VECTORS

SPEC = spec_of(bazaar())  # windows of 4 to 7 of the last 12 events
START = 1_700_000_000_000
engagements = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 99)), max_size=60)
acts = st.tuples(st.sampled_from("abcd"), st.sampled_from(["click", "purchase", "cart", "return"]), st.integers(0, 300))
lengths = st.integers(0, 60)  # of themselves lists are short, and then a state forgets nothing
histories = lengths.flatmap(lambda length: st.lists(acts, min_size=length, max_size=length)).map(
    lambda rows: [
        Event(item, kind, START + hour * 3_600_000, math.nan, f"e{n:02d}", 9.0)
        for n, (item, kind, hour) in enumerate(sorted(rows, key=lambda row: row[2]))
    ]
)


def whole(events, t):
    """Everything engaged with before `t`, counted without any of the code under test."""
    found = {}
    for event in events:
        if event.timestamp < t and event.event_type in ("click", "purchase"):
            times = [e.timestamp for e in events if e.item_id == event.item_id and e.timestamp < t]
            kinds = [e.event_type for e in events if e.item_id == event.item_id and e.timestamp < t]
            own = [time for time, kind in zip(times, kinds, strict=True) if kind in ("click", "purchase")]
            found[event.item_id] = Habit(len(own), min(own), max(own))
    return found


@given(engagements, st.integers(1, 4), st.integers(0, 60))
def test_one_after_the_other_or_at_once_or_in_two_parts(events, most, cut):
    at_once, by_one = remember({}, events, most), {}
    for event in events:
        by_one = remember(by_one, [event], most)
    assert at_once == by_one == remember(remember({}, events[:cut], most), events[cut:], most)
    assert len(at_once) < 2 * most


@given(engagements)
def test_where_there_is_room_all_is_counted(events):
    found = remember({}, events, 8)
    assert {item: habit.events for item, habit in found.items()} == Counter(item for item, _ in events)


def test_a_household_of_more_products_than_are_kept_keeps_most_of_its_habits():
    """The figures of docs/retrieval.md: 3,000 products, half of which other ones replace each year."""
    draw, worth, bought = np.random.default_rng(0), 1 / np.arange(1, 3001) ** 0.7, []
    for year in range(6):
        weight = (worth + worth[draw.permutation(3000)] if year else 2 * worth) / (2 * worth.sum())
        bought += draw.choice(3000, 2000, p=weight / weight.sum()).tolist()
    found = remember({}, [(f"i{item}", time) for time, item in enumerate(bought)], 256)
    true = Counter(f"i{item}" for item in bought)
    kept = [item for item, _ in true.most_common(256) if item in found]
    assert len(kept) == 188 and sum(found[item].events == true[item] for item in kept) == 104


def test_what_was_forgotten_begins_anew():
    events = [("a", 1), ("b", 2), ("b", 3), ("c", 4), ("c", 5), ("d", 6)]
    assert "a" not in remember({}, events, 2)
    assert remember({}, [*events, ("a", 7)], 2)["a"] == Habit(1, 7, 7)


def test_the_most_frequent_stay_and_of_equals_the_latest():
    found = remember({}, [("a", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5)], 2)
    assert found == {"a": Habit(2, 1, 2), "d": Habit(1, 5, 5)}


def test_nothing_is_copied_where_nothing_changes():
    known = {"a": Habit(1, 2, 2)}
    assert remember(known, [], 2) is known
    assert remember(known, [("a", 9)], 2) is not known and known == {"a": Habit(1, 2, 2)}


@given(histories, st.integers(-1, 301))
def test_window_and_habits_are_the_whole_past_at_any_time(events, hour):
    """However much the state knows already of what came later, as far as it keeps it."""
    t = START + hour * 3_600_000
    before = state_of("u", [event for event in events if event.timestamp < t], SPEC, {})
    later = [event for event in events if event.timestamp >= t][:5]
    for state in (before, state_of("u", [*(e for e in events if e.timestamp < t), *later], SPEC, {})):
        found = dict(habits_at(state, t, SPEC))
        for event in features_at(state, t, SPEC).window:
            if engaging(event, SPEC):
                old = found.get(event.item_id, Habit(0, event.timestamp, 0))
                found[event.item_id] = Habit(old.events + 1, old.first, event.timestamp)
        assert found == whole(events, t)


@given(histories)
def test_every_way_to_a_state_has_the_same_habits(events):
    known = state_of("u", events, SPEC, {})
    one = UserState("u")
    for event in events:
        one, _ = with_late(one, event, SPEC)
    assert one.habits == known.habits
    for event, state in walk("u", events, SPEC, {}):
        assert state.habits == state_of("u", [e for e in events if e.timestamp < event.timestamp], SPEC, {}).habits
    times = sorted({event.timestamp for event in events})
    for time, state in zip(times, states_before("u", events, times, SPEC, {}), strict=True):
        assert state.habits == state_of("u", [e for e in events if e.timestamp < time], SPEC, {}).habits


@given(histories, st.data())
def test_what_comes_a_little_late_is_remembered_all_the_same(events, data):
    late = {event.event_id: data.draw(st.integers(0, 4)) for event in events}
    order = sorted(range(len(events)), key=lambda n: n + late[events[n].event_id])
    state = UserState("u")
    for number in order:
        state, place = with_late(state, events[number], SPEC)
        assert place in (Place.NEXT, Place.LATE)
    assert state.habits == state_of("u", events, SPEC, {}).habits
    again, _ = with_all(state, events, SPEC)
    assert again.habits == state.habits


@given(histories, st.integers(-1, 301))
def test_a_query_long_before_what_a_state_knows_sees_nothing_of_after_it(events, hour):
    t = START + hour * 3_600_000
    state, true = state_of("u", events, SPEC, {}), whole(events, t)
    cut = before(state, t)
    for known in (habits_at(state, t, SPEC), habits_at(cut, t, SPEC), cut.habits):
        for item, habit in known.items():
            assert habit.first == true[item].first and habit.last <= true[item].last
            assert habit.events <= true[item].events


def test_of_a_habit_that_goes_on_after_a_time_the_first_is_known():
    known = {"a": Habit(3, 10, 20), "b": Habit(3, 10, 30), "c": Habit(1, 30, 30), "d": Habit(2, 25, 30)}
    assert known_before(known, 25) == {"a": Habit(3, 10, 20), "b": Habit(1, 10, 10)}
    assert known_before(known, 31) is known


@pytest.mark.parametrize(("rule", "room"), [("never", 256), ("always", 256), ("always", 0)])
def test_none_where_none_are_asked_for(rule, room):
    spec = replace(SPEC, repeat=Repeat(rule=rule), build=SPEC.build.model_copy(update={"habits": room}))
    events = [Event("a", "click", START + n, event_id=f"e{n:02d}") for n in range(40)]
    state = state_of("u", events, spec, {})
    assert bool(state.habits) == bool(habits_at(state, START + 99, spec)) == bool(room)


def asked(table, names, habits, since=86_400.0, kinds=()):
    gaps = [math.nan, *[86_400.0] * (len(names) - 1)][: len(names)]
    rated = {"token_event_type": [*kinds, *["rating"] * len(names)][: len(names)], "token_value": [4.0] * len(names)}
    return PairQuery.of(START, rated | {"token_item_id": names, "token_gap": gaps}, since, table, None, habits)


def features(table, query):
    out = pair_features(table, [query], np.zeros(4, np.int64), np.arange(4), np.zeros(4, np.float32))
    return [dict(zip(pair_names(table.matches, table.shares.names), row.tolist(), strict=True)) for row in out]


@pytest.fixture(scope="module")
def table():
    return ItemTable.of(ITEMS, COUNTERS, VECTORS, cycle_spec(price=False), RULES, SEGMENTS)


def test_the_features_of_a_past_by_hand(table):
    habits = {"a": Habit(3, START - 29 * DAY_MS, START - 19 * DAY_MS), "c": Habit(1, *[START - 40 * DAY_MS] * 2)}
    query = asked(table, ["a", "b", "a", "b"], {**habits, "unheard of": habits["c"]}, kinds=["rating", "click"])
    a, b, c, d = features(table, query)
    assert np.expm1([row["past_events"] for row in (a, b, c, d)]) == pytest.approx([5, 1, 1, 0])  # a click is none
    assert [row["past_recency"] for row in (a, b, c, d)] == pytest.approx([1 / 3, 1 / 2, 1 / 41, 0])
    pace = (29 - 2) / 4  # days from one engagement with a to the next; the last was two days ago
    assert [row["due"] for row in (a, b, c, d)] == pytest.approx([2 / (2 + pace), 0, 0, 0])
    before = 5**-STEPS  # one moment before the four of the window
    own = [2**-STEPS + 4**-STEPS + 3 * before, 1 + 3**-STEPS, before, 0]
    assert [row["again"] for row in (a, b, c, d)] == pytest.approx(own)
    places, scores = query.again(table)
    assert places.tolist() == [0, 1, 2] and scores == pytest.approx(own[:3])


def test_what_engages_by_its_dwell_has_it_among_what_training_knows_of_events():
    read = Objective(events=("rating",), min_dwell_seconds=5)
    spec = cycle_spec(
        price=False, objectives=Objectives(engaged=read, satisfied=Objective(events=("rating",), min_value=4))
    )
    window = (
        Event("a", "rating", START - DAY_MS, 4.0, "e1", 9.0),
        Event("b", "rating", START - DAY_MS, 4.0, "e2", 1.0),
    )
    tokens = {f.name: token_features(window)[f.name] for f in spec.of(Entity.TOKEN)}
    table = ItemTable.of(ITEMS, COUNTERS, VECTORS, spec, RULES, SEGMENTS)
    assert PairQuery.of(START, tokens, 86_400.0, table).past.engaged.tolist() == [True, False]


def test_the_window_alone_tells_as_much_where_there_are_no_habits(table):
    [a, *_] = features(table, asked(table, ["a", "a", "a"], {}))
    assert a["past_events"] == a["window_events"] and a["past_recency"] == a["window_recency"]
    assert a["due"] == pytest.approx(0.5)  # every day, and a day ago


def test_engagements_of_one_time_have_no_pace(table):
    habits = {"a": Habit(4, *[START - 3 * DAY_MS] * 2)}
    assert features(table, asked(table, [], habits))[0]["due"] == 0


def test_what_is_taken_at_noon_on_fridays_is_near_to_noon_and_to_friday(table):
    """A week ago and two at this hour; c two hours and a day off, d at midnight."""
    day = DAY_MS
    habits = {
        "a": Habit(2, START - 14 * day, START - 7 * day),
        "c": Habit(3, START - 8 * day - day // 12, START - 6 * day + day // 12),
        "d": Habit(1, *[START - 7 * day - day // 2] * 2),
    }
    a, b, c, d = features(table, asked(table, [], habits))
    assert [row["past_hour"] for row in (a, b, c, d)] == pytest.approx([1, 0, near(1 / 12), np.exp(-2 * NEAR)])
    off = near((1 + 1 / 12) / 7)
    assert [row["past_weekday"] for row in (a, b, c, d)] == pytest.approx([1, 0, off, near(0.5 / 7)])
    assert near(1 / 12) == pytest.approx(0.45, abs=0.01)


def test_dates_alone_have_no_hours(table):
    """Served at noon, what was trained at midnight would be far from every purchase."""
    dates = replace(table, has_hours=False)
    asked_at_noon = asked(dates, ["a"], {"a": Habit(2, START - 14 * DAY_MS, START - 7 * DAY_MS)}, since=43_200.0)
    a, *_ = features(dates, asked_at_noon)
    assert [a[name] for name in HOURS] == [0, 0] and a["past_events"] > 0


def test_each_engagement_of_the_window_counts_as_much_as_one_of_before(table):
    """Of a: two of before, first and last for all of them, and two of the window, one of which is half a day off."""
    habits = {"a": Habit(2, START - 10 * DAY_MS, START - 9 * DAY_MS - DAY_MS // 2)}
    query = asked(table, ["a", "a"], habits, since=43_200.0)
    [a, *_] = features(table, query)
    far = np.exp(-2 * NEAR)
    assert a["past_hour"] == pytest.approx((2 * (1 + far) / 2 + far + far) / 4)
    assert asked(table, ["a"], {}, kinds=["click"]).past.hours.tolist() == [], "a click is no engagement"


def test_nothing_counts_where_items_never_repeat():
    never = ItemTable.of(
        ITEMS, COUNTERS, VECTORS, cycle_spec(price=False, repeat=Repeat(rule="never")), RULES, SEGMENTS
    )
    [a, *_] = features(never, asked(never, ["a", "b"], {}))
    assert [a[name] for name in ("past_events", "past_recency", "due", *HOURS)] == [0] * 5 and a["again"] > 0
    assert Past.of(START, np.array([0]), np.array([1.0]), {}, {}, never).engaged.tolist() == [False]


def test_habits_are_of_the_past_and_of_nothing_that_was_done_of_late(table):
    told = replace(table, acts=("click", "purchase"))
    habits = {"c": Habit(2, START - 9 * DAY_MS, START - 8 * DAY_MS)}
    now, without = (asked(told, ["a", "b"], own).tastes for own in (habits, {}))
    place = np.arange(len(table.vectors))
    assert [*now] == [*TASTES]
    for name in TASTES:
        same = now[name].affinities(told, place).tolist() == without[name].affinities(told, place).tolist()
        assert same is (name != AFFINITY), name


def test_habits_where_items_never_repeat_are_of_the_taste_alone():
    """And of nothing in a release of before, which had none."""
    never = ItemTable.of(
        ITEMS, COUNTERS, VECTORS, cycle_spec(price=False, repeat=Repeat(rule="never")), RULES, SEGMENTS
    )
    habits = {"c": Habit(2, START - 9 * DAY_MS, START - 8 * DAY_MS)}
    now, before = (asked(table, ["a", "b"], habits) for table in (never, replace(never, form=3)))
    assert now.past.old.tolist() == [2] and now.past.old_events.tolist() == [2] and now.past.items.tolist() == []
    pasts = ["a", "b"], {}
    found, short, twice = (
        query.tastes["affinity"] for query in (now, asked(never, *pasts), asked(never, ["a", "b", "c", "c"], {}))
    )
    assert set(found.values) > set(short.values)
    assert found.more.tolist() == twice.more.tolist() and found.unseen.tolist() == twice.unseen.tolist()
    assert not len(before.past.old) and before.again(never)[0].tolist() == [0, 1]
