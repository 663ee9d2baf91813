"""The first stage of the request path: what is known of each user."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Protocol

from souk.schema import EventType
from souk.serving.request import Request
from souk.serving.seldom import Seldom
from souk.spec import FeatureSpec
from souk.stages import staged
from souk.state import Event, UserState, after, keep, window_start
from souk.state_rows import profile_of

seldom = Seldom(logging.getLogger(__name__))
Notes = Sequence[list[str]]
ORDER = attrgetter("order")
TIME = attrgetter("timestamp")
Read = Callable[[], Sequence[UserState | None]]


class Store(Protocol):
    """Where user states are read. One that knows some without being asked says so by `fresh`, which takes ids and gives
    states by id (souk.serving.user_cache)."""

    def read(self, user_ids: Sequence[str]) -> Sequence[UserState | None]:
        """The states of users, None for one who is not known."""


@staged("users")
def known_states(
    requests: Sequence[Request],
    store: Store | None,
    spec: FeatureSpec,
    notes: Notes,
    guarded: Callable[[Read], Sequence[UserState | None]] = lambda read: read(),
) -> list[UserState]:
    """What is known of each user: one store read, then the request's own profile and events.

    Args:
        requests: of the users; one that brings a state is not read.
        store: user states; None where requests bring their own.
        spec: the release's feature specification.
        notes: by request, gets what is less than it could be.
        guarded: makes the store's call, or raises.
    """
    rows = [row for row, request in enumerate(requests) if request.state is None]
    states: list[UserState | None] = [request.state for request in requests]
    stored = _stored(store, [requests[row].user_id for row in rows], guarded)
    for row in rows:
        user = requests[row].user_id
        state = states[row] = stored.get(user)
        if user not in stored:
            notes[row].append("features_unavailable")
        elif state is None:
            notes[row].append("unknown_user")
        else:
            notes[row] += ["stale_features"] * state.stale
            notes[row] += ["forgotten_events"] * forgotten(state, requests[row].timestamp, spec)
    past = [past_events(request) for request in requests]
    for note, events, request in zip(notes, past, requests, strict=True):
        if len(events) < len(request.events):
            note.append("future_events")
    return [
        with_events(with_profile(state or UserState(request.user_id), request, spec), events, request.timestamp, spec)
        for state, events, request in zip(states, past, requests, strict=True)
    ]


def _stored(
    store: Store | None, asked: Sequence[str], guarded: Callable[[Read], Sequence[UserState | None]]
) -> dict[str, UserState | None]:
    """The states of users: what a cache has without a call, the others by one call; without those where it fails."""
    known: dict[str, UserState | None] = {}
    try:
        if asked and store is None:
            raise LookupError("no store")
        if store is not None:
            fresh = getattr(store, "fresh", None)  # isinstance takes a fiftieth of a millisecond
            known |= fresh(asked) if fresh else {}
            missing = [user for user in dict.fromkeys(asked) if user not in known]
            if missing:
                known |= dict(zip(missing, guarded(lambda: store.read(missing)), strict=True))
    except Exception as error:
        seldom.warning("features unavailable: %s: %s", type(error).__name__, error)
    return known


def forgotten(state: UserState, time: int, spec: FeatureSpec) -> bool:
    """Whether a state has let go of events that the models would read at `time`: it keeps the last ones, which are
    enough for a time a little before them."""
    visible = bisect_left(state.events, time, key=TIME)
    count = state.count - (len(state.events) - visible)
    return visible < count - window_start(count, spec.history_length)


def past_events(request: Request) -> list[Event]:
    """The request's events before its own time: what is not yet past may not push out what is. A hide is no part of
    the history and counts whatever its time, as in `souk.withheld`."""
    return [e for e in request.events if e.timestamp < request.timestamp or e.event_type == EventType.HIDE]


def with_profile(state: UserState, request: Request, spec: FeatureSpec) -> UserState:
    """The state with the profile that the request states, where it does: for this request only."""
    if not request.profile:
        return state
    return replace(state, profile=profile_of({**state.profile, **request.profile}, spec))


def with_events(state: UserState, events: Sequence[Event], time: int, spec: FeatureSpec) -> UserState:
    """The state after the request's own events, which are before its `time`. Acts that are not newer than the last one
    stored of before it are taken as known already; what a clock that is ahead has stored stays behind them."""
    past = bisect_left(state.events, time, key=TIME)
    ahead, forgot = state.events[past:], state.count > len(state.events)
    early = replace(state, count=state.count - len(ahead), events=state.events[:past]) if ahead else state
    # of a time before all that is kept nobody knows what was stored
    last = state.events[max(past, 1) - 1].order if past or (ahead and forgot) else (-1, "")
    history = spec.history_events
    new = sorted((event for event in events if event.order > last or event.event_type not in history), key=ORDER)
    found = after(early, new, spec)
    if not ahead:
        return found
    known, habits = keep(found.habits, (*found.events, *ahead), spec)
    return replace(found, count=found.count + len(ahead), events=known, habits=habits)
