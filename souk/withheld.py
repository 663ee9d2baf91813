"""What is kept out of a user's slates: what was engaged with, what was hidden, and what was shown too often."""

from __future__ import annotations

import math

from souk.schema import DAY_MS
from souk.spec import FeatureSpec
from souk.state import UserState


def withheld(state: UserState, t: int, spec: FeatureSpec) -> set[str]:
    """The items that never appear in this user's slate at time `t`: by the repeat rule, and those that are hidden.

    A hide that is known counts whatever its time: a phone's clock may be ahead of `t`. Who asks about the past brings a
    state of the past.
    """
    return repeat_excluded(state, t, spec) | {item for item, time in state.hidden.items() if time > 0}


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


def repeat_excluded(state: UserState, t: int, spec: FeatureSpec) -> set[str]:
    """The items that the repeat rule keeps out of this user's slate at time `t`."""
    if spec.repeat.rule == "always":
        return set()
    since = excluded_since(t, spec)
    return {item for item, time in state.engaged.items() if time < t and (since is None or time > since)}


def excluded_since(t: int, spec: FeatureSpec) -> int | None:
    """Engagements after this time and before `t` keep their items out; None for all of them before `t`."""
    return math.floor(t - spec.repeat.days * DAY_MS) if spec.repeat.rule == "after_days" else None
