"""What one more event makes of a user's state, in whatever order events come and however often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from souk.daily import counted
from souk.schema import DAY_MS
from souk.spec import FeatureSpec
from souk.state import Event, UserState, advance, engaged_after, keep, noted


class Place(StrEnum):
    """Where an event came in its user's history."""

    NEXT = "next"  # after all that was known
    LATE = "late"  # before some of it, and put in its place
    TOO_LATE = "too_late"  # before all events that a state keeps: it counts for the rule of `repeat` alone
    KNOWN = "known"  # it was there
    NOTED = "noted"  # a hide, or an impression that counts for fatigue
    NONE = "none"  # an impression, which is no part of a history
    REFUSED = "refused"  # the state cannot be changed: the log alone has it


def event_of(row: Mapping[str, Any]) -> Event:
    """The event in a row of the events table, as a state has it; columns may be missing."""
    value, dwell = row.get("value", math.nan), row.get("dwell_seconds", math.nan)
    return Event(row["item_id"], row["event_type"], row["timestamp"], value, row["event_id"], dwell)


def with_late(state: UserState, event: Event, spec: FeatureSpec) -> tuple[UserState, Place]:
    """The state with one more event, and where it came.

    It is the state of all events together (`souk.state.state_of`), whatever their order, but for those that come when
    the state has forgotten their time already: of these it knows only what they keep out. So an event that is taken
    twice changes nothing the second time: while the state keeps its time it keeps its id, and later it is too late.
    """
    if event.event_type not in spec.history_events:
        marked = noted(state, (event,), spec)
        return marked, Place.NONE if marked is state else Place.NOTED
    if any(known.event_id == event.event_id for known in state.events):
        return state, Place.KNOWN
    if not state.events or event.order > state.events[-1].order:
        return advance(state, event, spec), Place.NEXT
    if state.count > len(state.events) and event.order < state.events[0].order:
        engaged = engaged_after(state.engaged, (event,), spec)
        return state if engaged == state.engaged else replace(state, engaged=engaged), Place.TOO_LATE
    events, habits = keep(state.habits, tuple(sorted((*state.events, event), key=lambda e: e.order)), spec)
    return replace(
        state,
        count=state.count + 1,
        events=events,
        habits=habits,
        daily=dict(sorted(counted(state.daily, [event.timestamp // DAY_MS]).items())),
        engaged=engaged_after(state.engaged, (event,), spec),
    ), Place.LATE


def with_all(state: UserState, events: Iterable[Event], spec: FeatureSpec) -> tuple[UserState, list[Place]]:
    """The state with more events of its user; they are taken oldest first."""
    places = []
    for event in sorted(events, key=lambda e: e.order):
        state, place = with_late(state, event, spec)
        places.append(place)
    return state, places
