"""A user state survives the trip through a flat row."""

import math

from hypothesis import given
from hypothesis import strategies as st

from souk.habits import Habit
from souk.state import Event, UserState
from souk.state_rows import from_row, profile_of, state_columns, to_row
from tests.features_fixtures import bazaar, spec_of

SPEC = spec_of(bazaar())
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
number = st.floats(width=64)
time = st.integers(0, 2**53)
events = st.builds(Event, text, st.sampled_from(["click", "rating"]), time, number, text, number, st.just({}))
profiles = st.fixed_dictionaries(
    {"country": st.none() | text, "age": st.none() | number, "hobbies": st.none() | st.lists(text, max_size=3)}
).map(lambda row: profile_of(row, SPEC))
states = st.builds(
    UserState,
    text,
    st.integers(0, 2**40),
    st.lists(events, max_size=4).map(tuple),
    st.dictionaries(st.integers(0, 30_000), st.integers(1, 99), max_size=4),
    st.dictionaries(text, time, max_size=4),
    profiles,
    habits=st.dictionaries(text, st.builds(Habit, st.integers(1, 99), time, time), max_size=4),
)


@given(states)
def test_round_trip_is_exact(state):
    row = to_row(state, SPEC)
    assert list(row) == list(state_columns(SPEC))
    assert repr(from_row(row, SPEC)) == repr(state)


def test_missing_values_take_their_normal_form():
    profile = profile_of({"country": None, "age": None}, SPEC)
    assert profile["country"] == "" and math.isnan(profile["age"]) and profile["hobbies"] == []


def test_null_lists_are_empty():
    row = dict.fromkeys(state_columns(SPEC)) | {"user_id": "u", "count": 0}
    assert from_row(row, SPEC).events == ()
