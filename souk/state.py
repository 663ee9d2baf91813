"""What is known of a user, and the one function that turns it into features at a time.

`features_at` is called by Beam for training and by the server for requests: there is no second definition of a
feature that could differ from it.

The history window hops: with `history_length` N and H = N/2, a user with n earlier events is seen through the last
n - max(0, H·(⌊n/H⌋ - 1)) of them, between H and N - 1. All queries with the same ⌊n/H⌋ share one start, so a
training row holds one copy of those events for all its queries and a causal encoder sees in training exactly what it
sees when serving.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from souk.daily import COUNT_DAYS, counted
from souk.declared import moment, user_features
from souk.habits import Habits, known_before, remember
from souk.marks import hidden_after, shown_after, taken_after
from souk.schema import DAY_MS, EventType
from souk.spec import FeatureSpec, positive
from souk.values import clean

NO_CONTEXT: Mapping[str, Any] = {}


class Event(NamedTuple):
    """One event of a user's history. `timestamp` is UTC epoch milliseconds; `context` holds the declared columns, of
    the targets of training and of what a request tells: events of a state have none.

    A tuple, since a request makes a hundred: a frozen dataclass takes five times as long to make.
    """

    item_id: str
    event_type: str
    timestamp: int
    value: float = math.nan
    event_id: str = ""
    dwell_seconds: float = math.nan
    context: Mapping[str, Any] = NO_CONTEXT

    @property
    def order(self) -> tuple[int, str]:
        """Events are ordered by time, and those of one millisecond by id."""
        return self.timestamp, self.event_id


@dataclass(frozen=True)
class UserState:
    """What is stored per user: enough to compute every feature at any time after its last event.

    Args:
        user_id: the user.
        count: history events so far, of all time.
        events: the last of them, oldest first: at least `window_start`'s window.
        habits: what the engagements among the others were with, by item.
        daily: history events by UTC day (days since the epoch), of the KEPT_DAYS days up to the last event.
        engaged: for the repeat rule, by item the time of an event that `keeps_out` it: the first where that is for
            good, else the last, as long as a query may ask; empty where the rule keeps nothing out.
        profile: the user's declared columns.
        hidden: time of the last hide by item; negative where that took it back.
        shown: times of the last showings by item, ascending; empty without `repeat.fatigue`.
        stale: whether the store holds it for longer than it should, as it was read; no part of what is known.
    """

    user_id: str
    count: int = 0
    events: tuple[Event, ...] = ()
    daily: Mapping[int, int] = field(default_factory=dict)
    engaged: Mapping[str, int] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, int] = field(default_factory=dict)
    shown: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    stale: bool = field(default=False, compare=False, repr=False)
    habits: Habits = field(default_factory=dict)


@dataclass(frozen=True)
class QueryFeatures:
    """Raw features of one query. The targets of a training row share tokens and user: these are made when asked for.

    Args:
        query: name to scalar.
        window: the events that it sees, oldest first; at most N - 1.
        user_id: the user, with the declared columns in `profile`.
        spec: the feature specification.
    """

    query: dict[str, Any]
    window: tuple[Event, ...]
    user_id: str
    profile: Mapping[str, Any]
    spec: FeatureSpec

    @cached_property
    def tokens(self) -> dict[str, list[Any]]:
        """Name to the values of the window's events, not padded."""
        return token_features(self.window)

    @cached_property
    def user(self) -> dict[str, Any]:
        """Name to scalar or list."""
        return user_features(self.user_id, self.profile, self.spec)


def window_start(count: int, history_length: int) -> int:
    """The index of the first event that a query after `count` events sees."""
    hop = history_length // 2
    return max(0, hop * (count // hop - 1))


def engaging(event: Event, spec: FeatureSpec) -> bool:
    """Whether `event` is an engagement: a target of training, a query of evaluation."""
    objective = spec.objectives.engaged
    return event.event_type in objective.events and positive(objective, event.value, event.dwell_seconds)


def keeps_out(event: Event, spec: FeatureSpec) -> bool:
    """Whether `event` counts for the repeat rule: it is one of its `events`; where it has none, an engagement."""
    return event.event_type in spec.repeat.events if spec.repeat.events else engaging(event, spec)


def advance(state: UserState, event: Event, spec: FeatureSpec) -> UserState:
    """The state after one more event."""
    return after(state, (event,), spec)


def after(state: UserState, events: Iterable[Event], spec: FeatureSpec) -> UserState:
    """The state after more events. They come in the order of `Event.order`."""
    events = list(events)
    state = noted(state, events, spec)
    history = spec.history_events
    kept = without_context([event for event in events if event.event_type in history])
    if not kept:
        return state
    known, habits = keep(state.habits, (*state.events, *kept), spec)
    return replace(
        state,
        count=state.count + len(kept),
        events=known,
        habits=habits,
        daily=counted(state.daily, (e.timestamp // DAY_MS for e in kept)),
        engaged=engaged_after(state.engaged, kept, spec),
    )


def without_context(events: list[Event]) -> list[Event]:
    """The events as a state has them: no feature asks where an earlier one was."""
    return [e._replace(context=NO_CONTEXT) for e in events] if any(e.context for e in events) else events


def keep(habits: Habits, events: tuple[Event, ...], spec: FeatureSpec) -> tuple[tuple[Event, ...], Habits]:
    """`UserState.events` and `UserState.habits`, of the habits before `events` and these, oldest first."""
    start = max(0, len(events) - kept_events(spec))
    return events[start:], remembered(habits, events[:start], spec)


def remembered(habits: Habits, events: Iterable[Event], spec: FeatureSpec) -> Habits:
    """The habits after the engagements among `events`, in order."""
    if not spec.build.habits:
        return {}
    return remember(habits, ((e.item_id, e.timestamp) for e in events if engaging(e, spec)), spec.build.habits)


def noted(state: UserState, events: Iterable[Event], spec: FeatureSpec) -> UserState:
    """The state with the hides and impressions among `events`, in any order; itself where that changes nothing."""
    history = spec.history_events
    marks = [event for event in events if event.event_type not in history]
    hides = [
        (e.item_id, -e.timestamp if e.value == 0 else e.timestamp) for e in marks if e.event_type == EventType.HIDE
    ]
    shown = [(e.item_id, e.timestamp) for e in marks if e.event_type == EventType.IMPRESSION]
    if hides and (hidden := hidden_after(state.hidden, hides)) != state.hidden:
        state = replace(state, hidden=hidden)
    if shown and spec.repeat.fatigue and (now := shown_after(state.shown, shown, spec.repeat.fatigue)) != state.shown:
        state = replace(state, shown=now)
    return state


def state_of(user_id: str, events: Iterable[Event], spec: FeatureSpec, profile: Mapping[str, Any]) -> UserState:
    """The state after `events`, in any order."""
    return after(UserState(user_id, profile=profile), sorted(events, key=lambda e: e.order), spec)


def engaged_after(engaged: Mapping[str, int], events: Iterable[Event], spec: FeatureSpec) -> dict[str, int]:
    """`UserState.engaged` after more events, in any order."""
    return taken_after(engaged, ((e.item_id, e.timestamp) for e in events if keeps_out(e, spec)), spec.repeat)


def walk(
    user_id: str, events: Iterable[Event], spec: FeatureSpec, profile: Mapping[str, Any]
) -> Iterator[tuple[Event, UserState]]:
    """Each event of a history with the state strictly before its time, in order: the same for all events of one time.

    The states leave `engaged` empty, since no feature depends on it.
    """
    kept = sorted((e for e in events if e.event_type in spec.history_events), key=lambda e: e.order)
    state, time, bare = UserState(user_id, profile=profile), -1, without_context(kept)
    for index, event in enumerate(kept):
        if event.timestamp != time:
            state = _later(state, bare, index, spec)
            time = event.timestamp
        yield event, state


def states_before(
    user_id: str, events: Iterable[Event], times: Iterable[int], spec: FeatureSpec, profile: Mapping[str, Any]
) -> Iterator[UserState]:
    """`state_of` the events before each of `times`, ascending: one pass over the history, however many are asked."""
    kept = without_context(sorted((e for e in events if e.event_type in spec.history_events), key=lambda e: e.order))
    state = UserState(user_id, profile=profile)
    for time in times:
        known, count = state.count, bisect_left(kept, time, lo=state.count, key=lambda e: e.timestamp)
        engaged = engaged_after(state.engaged, kept[known:count], spec)
        state = replace(_later(state, kept, count, spec), engaged=engaged)
        yield state


def _later(state: UserState, ordered: Sequence[Event], count: int, spec: FeatureSpec) -> UserState:
    """The state after the first `count` of `ordered`, of one after fewer of them; `engaged` stays as it was."""
    start, known = (max(0, n - kept_events(spec)) for n in (count, state.count))
    return replace(
        state,
        count=count,
        events=tuple(ordered[start:count]),
        habits=remembered(state.habits, ordered[known:start], spec),
        daily=counted(state.daily, (e.timestamp // DAY_MS for e in ordered[state.count : count])),
    )


def kept_events(spec: FeatureSpec) -> int:
    """How many events a state keeps: one hop more than any window, for queries a little before the last events."""
    return spec.history_length + spec.history_length // 2


def features_at(state: UserState, t: int, spec: FeatureSpec, context: Mapping[str, Any] | None = None) -> QueryFeatures:
    """The raw features of a query by a user at time `t`, from events strictly before `t`.

    Args:
        state: what is known of the user; events at or after `t` are not looked at.
        t: UTC epoch milliseconds.
        spec: the feature specification.
        context: declared event columns of the query; what is missing becomes "" or NaN.
    """
    start, visible, count = _seen(state, t, spec)
    window = state.events[start:visible]
    query = query_features(state, t, count, window, spec, context or {})
    return QueryFeatures(query, window, state.user_id, state.profile, spec)


def habits_at(state: UserState, t: int, spec: FeatureSpec) -> Habits:
    """What the user engaged with before the window of a query at time `t`: the same for all queries of one window."""
    start, visible, _ = _seen(state, t, spec)
    return remembered(state.habits if visible else known_before(state.habits, t), state.events[:start], spec)


def _seen(state: UserState, t: int, spec: FeatureSpec) -> tuple[int, int, int]:
    """Where the window of a query at `t` starts and ends in `state.events`, and how many events were before `t`."""
    visible = bisect_left(state.events, t, key=lambda e: e.timestamp)
    count = state.count - (len(state.events) - visible)
    return max(0, visible - (count - window_start(count, spec.history_length))), visible, count


def token_features(window: tuple[Event, ...]) -> dict[str, list[Any]]:
    """The features of a window's events: each depends on it and the one before it, so a prefix has the same values."""
    times = [event.timestamp for event in window]
    gaps = [math.nan, *((b - a) / 1000 for a, b in pairwise(times))] if times else []
    return {
        "token_item_id": [event.item_id for event in window],
        "token_event_type": [str(event.event_type) for event in window],
        "token_gap": gaps,
        "token_value": [event.value for event in window],
        "token_dwell": [event.dwell_seconds for event in window],
    }


def query_features(
    state: UserState, t: int, count: int, window: tuple[Event, ...], spec: FeatureSpec, context: Mapping[str, Any]
) -> dict[str, Any]:
    """The scalar features of a query at `t` by a user with `count` events before it, the last of them in `window`."""
    day = t // DAY_MS
    late: dict[int, int] = {}
    for event in state.events[len(state.events) - (state.count - count) :] if state.count > count else ():
        late[event.timestamp // DAY_MS] = late.get(event.timestamp // DAY_MS, 0) + 1
    ages = [(day - d, n - late.get(d, 0)) for d, n in state.daily.items() if d <= day]
    values = {
        **moment(t),
        "query_since_last": (t - window[-1].timestamp) / 1000 if window else math.nan,
        "query_events": float(count),
        "query_events_1d": float(sum(n for age, n in ages if age < 1)),
        "query_events_7d": float(sum(n for age, n in ages if age < 7)),
        "query_events_30d": float(sum(n for age, n in ages if age < COUNT_DAYS)),
    }
    return values | {f.name: clean(context.get(f.source), f.dtype, f.length) for f in spec.context}
