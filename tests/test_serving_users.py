"""What is known of a user when a request brings events of its own."""

import pytest

from souk.serving.users import with_events
from souk.state import Event, features_at, state_of
from tests.test_serving_request import SPEC


@pytest.mark.parametrize("count", [0, 1, 5, 30])
def test_an_event_stored_ahead_of_time_stands_behind_those_of_a_request(count):
    """Until its time has come it is as if it were not there; what stands before it is known, as ever."""
    stored = [Event(f"s{n}", "click", 100 * n, event_id=f"{n:02d}") for n in range(count)]
    ahead = [Event("s0", "click", 10_000, event_id="x"), Event("y", "click", 10_500, event_id="y")]
    new = [Event("new", "click", 9_000), Event("newer", "click", 9_500)]
    known = [Event("s0", "click", stored[-1].timestamp)] if stored else []
    state = state_of("ann", [*stored, *ahead], SPEC, {})
    found = with_events(state, [*known, *new, Event("d", "impression", 400)], 9_999, SPEC)
    assert found == state_of("ann", [*stored, *new, *ahead], SPEC, {})
    seen, there = (features_at(each, 9_999, SPEC) for each in (found, with_events(state, [], 9_999, SPEC)))
    plain = features_at(state_of("ann", [*stored, *new], SPEC, {}), 9_999, SPEC)
    assert (seen.query, [e.item_id for e in seen.window]) == (plain.query, [e.item_id for e in plain.window])
    assert there.query["query_events"] == count


def test_of_a_time_before_all_that_is_kept_nothing_is_new():
    state = state_of("ann", [Event("s", "click", 1_000 + n, event_id=f"{n:02d}") for n in range(30)], SPEC, {})
    assert with_events(state, [Event("a", "click", 400)], 500, SPEC) == state
