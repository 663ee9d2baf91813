"""User state: the history window, time, and the equality of the two ways to a state."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.config import parse_config
from souk.daily import KEPT_DAYS
from souk.declared import item_features
from souk.schema import DAY_MS, Kind
from souk.spec import FeatureSpec
from souk.state import (
    Event,
    UserState,
    advance,
    features_at,
    kept_events,
    state_of,
    states_before,
    walk,
    window_start,
)
from souk.values import entries
from souk.withheld import repeat_excluded

CONFIG = """
name: tiny
data: {events: {path: events.csv}}
columns:
  users: {age: numeric, city: categorical}
  items: {title: text, category: path, genres: list, price: numeric}
  events: {device: categorical}
objectives: {engaged: {events: [rating, purchase]}, satisfied: {events: [rating], min_value: 4}}
repeat: %s
build_features: {history_length: 8}
"""


def spec_of(repeat: str = "never") -> FeatureSpec:
    config = parse_config(CONFIG % repeat)
    return FeatureSpec(config.name, config.columns, config.objectives, config.repeat, config.build_features)


SPEC = spec_of()
HOUR = 3_600_000
histories = st.lists(
    st.builds(
        Event,
        item_id=st.sampled_from("abcdef"),
        event_type=st.sampled_from(["rating", "purchase", "impression", "return"]),
        timestamp=st.integers(0, 60 * 24).map(lambda h: h * HOUR),
        value=st.one_of(st.just(math.nan), st.floats(0, 5)),
        event_id=st.just(""),
        dwell_seconds=st.just(math.nan),
        context=st.just({}),
    ),
    max_size=40,
).map(lambda events: [e._replace(event_id=f"{i:03}") for i, e in enumerate(events)])


def same(left: object, right: object) -> bool:
    """Equality under which NaN equals NaN."""
    return repr(left) == repr(right)


@given(histories)
def test_walk_gives_the_state_of_the_events_strictly_before(events):
    for event, state in walk("u", events, SPEC, {"age": 3}):
        before = [e for e in events if e.timestamp < event.timestamp]
        reference = state_of("u", before, SPEC, {"age": 3})
        assert same(
            features_at(state, event.timestamp, SPEC, event.context),
            features_at(reference, event.timestamp, SPEC, event.context),
        )


@given(histories)
def test_walk_gives_the_whole_state_but_what_the_repeat_rule_asks(events):
    """Counts of the days that no event stands on any more are gone, as in a state made at once."""
    for event, state in walk("u", events, SPEC, {"age": 3}):
        before = [e for e in events if e.timestamp < event.timestamp]
        assert same(state, replace(state_of("u", before, SPEC, {"age": 3}), engaged={}))


class Counting(list):
    """Events that count how often one is looked at by its place or in a slice."""

    looked = 0

    def __getitem__(self, place):
        found = super().__getitem__(place)
        Counting.looked += len(found) if isinstance(place, slice) else 1
        return found


@pytest.mark.parametrize("days", [1, 50, 5000])
def test_the_work_of_a_walk_grows_as_the_history_and_not_as_its_square(monkeypatch, days):
    """However dense it is: each state looks at the events that it keeps, and at those since the last state."""
    monkeypatch.setattr("souk.state.sorted", lambda *given, **key: Counting(sorted(*given, **key)), raising=False)
    Counting.looked, count = 0, 4000
    events = [Event("a", "rating", day * DAY_MS * days // count, event_id=f"{day:04}") for day in range(count)]
    *_, (_, last) = walk("u", events, SPEC, {})
    assert last.count == count - 1
    assert Counting.looked <= count * (kept_events(SPEC) + 2)
    assert len(last.daily) <= KEPT_DAYS


RULES = [
    "always",
    "never",
    "{rule: after_days, days: 3}",
    "{rule: never, events: [purchase]}",
    "{rule: after_days, days: 3, events: [return, purchase], pause_minutes: 90}",
]


@pytest.mark.parametrize("repeat", RULES)
@given(events=histories, hour=st.integers(0, 60 * 24))
def test_what_is_kept_out_is_what_the_rule_and_the_pause_say(repeat, events, hour):
    """By the words of the docs: all events one by one, of any time."""
    spec, t = spec_of(repeat), hour * HOUR
    kinds = [str(kind) for kind in spec.repeat.events or ("rating", "purchase")]
    within = {"never": math.inf, "always": 0, "after_days": 3 * DAY_MS}[spec.repeat.rule]
    kept = {e.item_id for e in events if e.event_type in kinds and 0 < t - e.timestamp < within}
    acts = sorted((e for e in events if e.event_type != "impression" and e.timestamp < t), key=lambda e: e.order)
    pause = spec.repeat.pause_minutes * 60_000
    kept |= {e.item_id for e in acts[-kept_events(spec) :] if t - e.timestamp < pause}
    before = [event for event in events if event.timestamp < t]
    assert repeat_excluded(state_of("u", before, spec, {}), t, spec) == kept
    if spec.repeat.rule != "after_days":  # which knows the last time alone
        later = [event for event in events if event.timestamp >= t][:3]
        assert repeat_excluded(state_of("u", before + later, spec, {}), t, spec) == kept


def test_what_no_query_asks_is_not_kept_and_a_month_before_the_last_event_is_seen_right():
    """As by the words of the docs, though the state keeps a twentieth of what was taken."""
    spec = spec_of("{rule: after_days, days: 30}")
    events = [Event(f"i{n}", "purchase", n * DAY_MS, event_id=f"{n:04}") for n in range(1000)]
    state = state_of("u", events, spec, {})
    assert len(state.engaged) == 60
    for t in [999 * DAY_MS + 1, 999 * DAY_MS, 998 * DAY_MS + HOUR, 969 * DAY_MS]:
        assert repeat_excluded(state, t, spec) == {e.item_id for e in events if 0 < t - e.timestamp < 30 * DAY_MS}
    assert len(state_of("u", events, spec_of("never"), {}).engaged) == 1000


@pytest.mark.parametrize("repeat", RULES)
@given(events=histories, hours=st.lists(st.integers(0, 60 * 24), max_size=8))
def test_states_before_are_the_states_of_what_was_before(repeat, events, hours):
    spec = spec_of(repeat)
    times = sorted(hour * HOUR for hour in hours)
    found = list(states_before("u", events, times, spec, {"age": 3}))
    assert len(found) == len(times)
    for time, state in zip(times, found, strict=True):
        assert same(state, state_of("u", [e for e in events if e.timestamp < time], spec, {"age": 3}))


def test_the_work_of_many_states_grows_as_the_history_and_not_as_its_square(monkeypatch):
    """Each state looks at the events that it keeps, those since the last state, and a few that find its place."""
    monkeypatch.setattr("souk.state.sorted", lambda *given, **key: Counting(sorted(*given, **key)), raising=False)
    Counting.looked, count = 0, 4000
    events = [Event("a", "rating", n * HOUR, event_id=f"{n:04}") for n in range(count)]
    *_, last = states_before("u", events, [event.timestamp for event in events], SPEC, {})
    assert last.count == count - 1
    assert 0 < Counting.looked <= count * (kept_events(SPEC) + 1 + 13)


@given(histories)
def test_advancing_by_each_event_equals_the_state_of_all(events):
    state = UserState("u", profile={"age": 3})
    for event in sorted(events, key=lambda e: e.order):
        state = advance(state, event, SPEC)
    assert same(state, state_of("u", events, SPEC, {"age": 3}))


@given(histories, st.integers(0, 60 * 24))
def test_events_at_or_after_the_query_change_nothing(events, hour):
    t = hour * HOUR
    before = [e for e in events if e.timestamp < t]
    recent = [e for e in events if t <= e.timestamp < t + 29 * DAY_MS][:4]
    with_future = state_of("u", before + recent, SPEC, {})
    assert same(features_at(with_future, t, SPEC), features_at(state_of("u", before, SPEC, {}), t, SPEC))


@given(st.integers(0, 10_000), st.integers(2, 64).map(lambda h: 2 * h))
def test_a_window_holds_between_half_and_all_but_one_of_the_length(count, length):
    seen = count - window_start(count, length)
    assert seen == count if count < length else length // 2 <= seen <= length - 1


def test_queries_of_one_hop_share_one_start():
    assert [window_start(n, 8) for n in (0, 7, 8, 11, 12, 15, 16)] == [0, 0, 4, 4, 8, 8, 12]


def test_query_features_have_known_values():
    friday = 8 * DAY_MS  # 1970-01-09
    events = [
        Event("a", "rating", 1 * DAY_MS, 5, "1"),
        Event("b", "rating", 7 * DAY_MS, 3, "2"),
        Event("c", "impression", friday, event_id="3"),
        Event("d", "purchase", friday + HOUR, event_id="4"),
    ]
    features = features_at(
        state_of("u", events, SPEC, {"age": 30, "city": None}), friday + 3 * HOUR, SPEC, {"device": 7}
    )
    assert features.query == {
        "query_hour": 3,
        "query_weekday": 4,
        "query_since_last": 2 * 3600,
        "query_events": 3,
        "query_events_1d": 1,
        "query_events_7d": 2,
        "query_events_30d": 3,
        "context_device": "7",
    }
    assert features.user == {"user_id": "u", "user_age": 30, "user_city": ""}
    assert features.tokens["token_item_id"] == ["a", "b", "d"]
    assert math.isnan(features.tokens["token_gap"][0])
    assert features.tokens["token_gap"][1:] == [6 * 86400, 86400 + 3600]


@pytest.mark.parametrize(
    ("age", "counted"),
    [(0, [1, 1, 1]), (1, [0, 1, 1]), (6, [0, 1, 1]), (7, [0, 0, 1]), (29, [0, 0, 1]), (30, [0, 0, 0])],
)
def test_events_count_by_the_days_that_lie_between(age, counted):
    """The event in the last hour of its day, the query in the first hour of its own, but for the same day."""
    done = Event("a", "rating", 99 * DAY_MS + 23 * HOUR, 5, "1")
    asked = (99 + age) * DAY_MS + (HOUR if age else 23 * HOUR + 1)
    features = features_at(state_of("u", [done], SPEC, {}), asked, SPEC)
    assert [features.query[f"query_events_{days}d"] for days in (1, 7, 30)] == counted


def test_a_new_user_has_defaults_for_everything():
    features = features_at(UserState("new"), 0, SPEC)
    assert features.tokens["token_item_id"] == []
    assert features.query["query_events"] == 0
    assert math.isnan(features.query["query_since_last"])
    assert math.isnan(features.user["user_age"])
    assert features.query["context_device"] == ""


@pytest.mark.parametrize(
    ("rule", "excluded"),
    [("never", {"a", "b"}), ("{rule: after_days, days: 5}", {"b"}), ("always", set())],
)
def test_the_repeat_rule_excludes(rule, excluded):
    spec = spec_of(rule)
    events = [Event("a", "rating", 0), Event("b", "rating", 9 * DAY_MS), Event("c", "return", 9 * DAY_MS)]
    assert repeat_excluded(state_of("u", events, spec, {}), 10 * DAY_MS, spec) == excluded


def test_what_never_repeats_is_excluded_from_its_first_time_on():
    state = state_of("u", [Event("a", "rating", 5), Event("a", "rating", 50)], SPEC, {})
    assert repeat_excluded(state, 20, SPEC) == {"a"}
    assert repeat_excluded(state, 5, SPEC) == set()


def test_item_features_read_each_kind():
    row = {"item_id": "x", "title": "Toy Story (1995)", "category": "Films/Family", "genres": ["a", "b"], "price": None}
    features = item_features(row, SPEC)
    assert features["item_title"] == ["toy", "story", "1995"]
    assert features["item_category"] == ["Films", "Films/Family"]
    assert features["item_genres"] == ["a", "b"]
    assert math.isnan(features["item_price"])


@given(st.one_of(st.none(), st.text(), st.floats(), st.integers()), st.sampled_from(["path", "text"]))
def test_entries_never_fail(value, kind):
    assert all(isinstance(entry, str) and entry for entry in entries(value, Kind(kind)))
