"""The users whom an evaluation asks, what they did, and what is in none of their slates."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from souk.spec import FeatureSpec
from souk.state import Event, UserState
from souk.withheld import fatigued_since, marked, tired, withheld

LEAST_OTHERS = 10  # items on offer, without which what was shown often is left in: metrics look at the first ten


@dataclass(frozen=True)
class Window:
    """The users who engage in a window.

    Args:
        start: UTC epoch milliseconds.
        end: one past its last event.
        events: all events of each such user before `end`, oldest first.
        profiles: their rows of the users table.
        engaging: how many users engage in it, of whom `events` may hold a draw.
        hides: those of each such user before `end`, oldest first.
        last_out: whether it is each user's last engagement, under a clock that has no dates.
        shown: likewise the impressions, as far back as `repeat.fatigue` looks at the start; none without it.
    """

    start: int
    end: int
    events: Mapping[str, tuple[Event, ...]]
    profiles: Mapping[str, Mapping[str, Any]]
    engaging: int = 0
    hides: Mapping[str, Sequence[Event]] = field(default_factory=dict)
    shown: Mapping[str, Sequence[Event]] = field(default_factory=dict)
    last_out: bool = False

    def marked(self, state: UserState, taken: Collection[str], time: int, spec: FeatureSpec) -> UserState:
        """`souk.withheld.marked`, of a state before `time`."""
        hides, shown = self.hides.get(state.user_id, ()), self.shown.get(state.user_id, ())
        if not hides and not shown:
            return state
        since, until = (bisect_left(shown, t, key=_time) for t in (fatigued_since(time, spec), time))
        known = hides[: bisect_left(hides, time, key=_time)]
        return marked(state, known, shown[since:until], taken, time, spec)


def kept_out(state: UserState, time: int, on_offer: Callable[[int], int], spec: FeatureSpec) -> set[str]:
    """The items that are in no slate: what is withheld, and what was shown often, but for as much of it as comes back
    since there are too few other items.

    Args:
        state: what was known at
        time: UTC epoch milliseconds.
        on_offer: how many items are to be had at a time.
        spec: the feature specification.
    """
    last = tired(state, time, spec)
    back = LEAST_OTHERS - (on_offer(time) - len(last)) if last else 0
    return withheld(state, time, spec).union(last[max(0, back) :])


def _time(event: Event) -> int:
    return event.timestamp
