"""Events in any order and however often: the state is that of all of them together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from souk.config import Repeat
from souk.schema import DAY_MS
from souk.serving.events.states import Place, event_of, with_all, with_late
from souk.state import Event, UserState, engaging, kept_events, state_of
from souk.withheld import withheld
from tests.serving_fixtures import NOW, SPEC

KEPT = kept_events(SPEC)  # 12
times = st.integers(0, 400).map(lambda n: NOW + n * DAY_MS // 5) | st.integers(NOW, NOW + 3)
kinds = st.sampled_from(["click", "cart", "rating", "impression"])
items = st.sampled_from(["a", "b", "c"])
lists = st.lists(st.tuples(items, kinds, times), max_size=KEPT).map(
    lambda rows: [Event(item, kind, time, event_id=f"e{n}") for n, (item, kind, time) in enumerate(rows)]
)


def spec_with(rule, kinds):
    return replace(SPEC, repeat=Repeat(rule=rule, days=3, events=kinds))


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [("never", ()), ("after_days", ()), ("always", ()), ("never", ("cart",)), ("after_days", ("cart", "rating"))],
)
@given(data=st.data())
def test_the_order_in_which_events_come_does_not_matter(rule, kinds, data):
    spec, events = spec_with(rule, kinds), data.draw(lists)
    state = UserState("u")
    for event in data.draw(st.permutations(events)):
        state, _ = with_late(state, event, spec)
    assert plain(state) == plain(state_of("u", events, spec, {}))
    kept = [e for e in events if rule != "always" and (e.event_type in kinds if kinds else engaging(e, spec))]
    times = {event.item_id: [e.timestamp for e in kept if e.item_id == event.item_id] for event in kept}
    engaged = {item: min(own) if rule == "never" else max(own) for item, own in times.items()}
    oldest = max(engaged.values(), default=0) - 33 * DAY_MS if rule == "after_days" else 0
    assert state.engaged == {item: time for item, time in engaged.items() if time > oldest}
    again, places = with_all(state, events, spec)
    assert again is state and set(places) <= {Place.KNOWN, Place.NONE}


def plain(state):
    """Whatever the order of its days and items."""
    return state.count, repr(state.events), dict(state.daily), dict(state.engaged)


@given(data=st.data())
def test_events_that_are_taken_again_change_nothing_however_many_they_are(data):
    events = [Event("a", "click", NOW + 10 * n, event_id=f"e{n:02d}") for n in range(3 * KEPT)]
    state, _ = with_all(UserState("u"), events, SPEC)
    assert repr(state) == repr(state_of("u", events, SPEC, {}))
    again, places = with_all(state, data.draw(st.lists(st.sampled_from(events))), SPEC)
    assert again is state and set(places) <= {Place.KNOWN, Place.TOO_LATE}


@pytest.mark.parametrize("rule", ["never", "after_days"])
@given(data=st.data())
def test_what_comes_too_late_is_kept_out_by_repeat(rule, data):
    """Of more events than a state keeps, in any order: what `repeat` asks is that of all of them together."""
    spec, kinds = spec_with(rule, ()), data.draw(st.lists(items, min_size=3 * KEPT, max_size=3 * KEPT))
    events = [Event(item, "click", NOW + n * DAY_MS, event_id=f"e{n:02d}") for n, item in enumerate(kinds)]
    state = UserState("u")
    for event in data.draw(st.permutations(events)):
        state, _ = with_late(state, event, spec)
    whole = state_of("u", events, spec, {})
    assert dict(state.engaged) == dict(whole.engaged)
    now = events[-1].timestamp + 1
    assert withheld(state, now, spec) == withheld(whole, now, spec)
    again, _ = with_all(state, events, spec)
    assert again is state


def test_each_place():
    events = [Event("a", "click", NOW + 10 * n, event_id=f"e{n:02d}") for n in range(KEPT + 1)]
    state = state_of("u", events, SPEC, {})
    late = Event("b", "click", NOW + 15, event_id="late")
    wanted = [
        (Event("b", "click", NOW + 10**6, event_id="next"), Place.NEXT),
        (late, Place.LATE),
        (Event("a", "click", NOW, event_id="old"), Place.TOO_LATE),
        (events[-1], Place.KNOWN),
        (Event("b", "click", NOW + 10**6, event_id=events[3].event_id), Place.KNOWN),
        (Event("b", "impression", NOW + 10**6, event_id="seen"), Place.NONE),
    ]
    for event, place in wanted:
        new, found = with_late(state, event, SPEC)
        assert found is place and (new is state) == (place not in (Place.NEXT, Place.LATE))
    old = Event("b", "click", NOW, event_id="old")
    new, place = with_late(state, old, SPEC)
    assert place is Place.TOO_LATE and new == replace(state, engaged={**state.engaged, "b": NOW})
    assert with_late(new, old, SPEC)[0] is new
    new, _ = with_late(state, late, SPEC)
    assert repr(new.events) == repr(state_of("u", [*events, late], SPEC, {}).events)
    assert (new.count, new.engaged["b"]) == (KEPT + 2, NOW + 15)


def test_a_day_that_a_state_has_forgotten_stays_so():
    state = state_of("u", [Event("a", "click", NOW, event_id="e")], SPEC, {})
    new, place = with_late(state, Event("b", "click", NOW - 61 * DAY_MS, event_id="old"), SPEC)
    assert place is Place.LATE and new.daily == state.daily and new.count == 2


def test_an_event_of_a_row():
    row = {"event_id": "e", "user_id": "u", "item_id": "i", "event_type": "click", "timestamp": NOW, "device": "tv"}
    assert repr(event_of(row)) == repr(Event("i", "click", NOW, event_id="e"))
    full = event_of({**row, "value": 2.0, "dwell_seconds": 3.0, "basket": 4.0, "session_id": "s"})
    assert (full.value, full.dwell_seconds, full.context) == (2.0, 3.0, {})
