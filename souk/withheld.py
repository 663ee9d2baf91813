"""What is kept out of a user's slates: what was taken or is at hand, what was hidden, and what was shown too often."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from souk.next_steps import PAUSE_MS
from souk.schema import DAY_MS, MINUTE_MS
from souk.spec import FeatureSpec
from souk.state import Event, UserState, noted


def withheld(state: UserState, t: int, spec: FeatureSpec) -> set[str]:
    """The items that never appear in this user's slate at time `t`: by `repeat`, and those that are hidden.

    A hide that is known counts whatever its time: a phone's clock may be ahead of `t`. Who asks about the past brings a
    state of the past.
    """
    return repeat_excluded(state, t, spec) | hidden(state)


def hidden(state: UserState) -> set[str]:
    """The items that the user hid and did not take back."""
    return {item for item, time in state.hidden.items() if time > 0}


def tired(state: UserState, t: int, spec: FeatureSpec) -> list[str]:
    """The items that were shown `repeat.fatigue.shown` times in the `days` before `t`, and not acted upon since.

    They may be shown when nothing else is left: the one that was not shown for the longest time first.
    """
    fatigue = spec.repeat.fatigue
    if fatigue is None or not state.shown:
        return []
    since = t - fatigue.days * DAY_MS
    acts = {event.item_id: event.timestamp for event in state.events if event.timestamp < t}
    found = []
    for item, times in state.shown.items():
        lately = [time for time in times if max(since, acts.get(item, -1)) < time < t]
        if len(lately) >= fatigue.shown:
            found.append((lately[-1], item))
    return [item for _, item in sorted(found)]


def marked(
    state: UserState, hides: Sequence[Event], shown: Sequence[Event], taken: Collection[str], t: int, spec: FeatureSpec
) -> UserState:
    """A state with the marks that the request knew of which something was taken at a moment of the past.

    A request comes before its showings, and what is taken was shown by it where it was in the last half an hour: from
    that on, nothing that was shown counts.

    Args:
        state: without marks.
        hides: the user's before `t`.
        shown: the user's impressions before `t`, oldest first, as far as fatigue looks.
        taken: the items, at `t`.
        t: UTC epoch milliseconds.
        spec: the feature specification.
    """
    last = {event.item_id: event.timestamp for event in shown if event.item_id in taken}
    asked = min((time for time in last.values() if time >= t - PAUSE_MS), default=t)
    return noted(state, (*hides, *(event for event in shown if event.timestamp < asked)), spec)


def fatigued_since(t: int, spec: FeatureSpec) -> int:
    """What was shown after this time and before `t` counts for fatigue; nothing does where it is `t`."""
    return math.floor(t - spec.repeat.fatigue.days * DAY_MS) if spec.repeat.fatigue else t


def repeat_excluded(state: UserState, t: int, spec: FeatureSpec) -> set[str]:
    """The items that `repeat` keeps out of this user's slate at time `t`: by its rule, and those `at_hand`."""
    return _by_rule(state, t, spec) | at_hand(state, t, spec)


def at_hand(state: UserState, t: int, spec: FeatureSpec) -> set[str]:
    """The items that the user did anything with in the last `repeat.pause_minutes` before `t`.

    As far as the state keeps events (`souk.state.kept_events`).
    """
    found: set[str] = set()
    since = paused_since(t, spec)
    for event in reversed(state.events):
        if event.timestamp <= since:
            break
        if event.timestamp < t:
            found.add(event.item_id)
    return found


def _by_rule(state: UserState, t: int, spec: FeatureSpec) -> set[str]:
    if spec.repeat.rule == "always":
        return set()
    since = excluded_since(t, spec)
    return {item for item, time in state.engaged.items() if time < t and (since is None or time > since)}


def excluded_since(t: int, spec: FeatureSpec) -> int | None:
    """What `keeps_out` counts for the rule after this time and before `t`; None for all of it before `t`."""
    return math.floor(t - spec.repeat.days * DAY_MS) if spec.repeat.rule == "after_days" else None


def paused_since(t: int, spec: FeatureSpec) -> int:
    """What comes after this time and before `t` is at hand; nothing is where it is `t`."""
    return math.floor(t - spec.repeat.pause_minutes * MINUTE_MS)
