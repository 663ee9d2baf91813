"""User states as they were at a time, as far as what is stored now tells."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from souk.habits import known_before
from souk.schema import DAY_MS
from souk.serving.users import Store
from souk.state import UserState


class Past:
    """A store whose states are cut at `time`, UTC epoch milliseconds.

    Args:
        store: what is known now.
    """

    def __init__(self, store: Store) -> None:
        self.time = 0
        self._store = store

    def read(self, user_ids: Sequence[str]) -> list[UserState | None]:
        """The states of users, None for one who is not known now."""
        return [state and before(state, self.time) for state in self._store.read(user_ids)]


def before(state: UserState, time: int) -> UserState:
    """A state without what came at `time` or later. What that pushed out is not there: older events, and all times of
    an item's engagements, hides and showings but those that are kept."""
    visible = bisect_left(state.events, time, key=lambda event: event.timestamp)
    late = Counter(event.timestamp // DAY_MS for event in state.events[visible:])
    shown = {item: tuple(t for t in times if t < time) for item, times in state.shown.items()}
    return replace(
        state,
        count=state.count - (len(state.events) - visible),
        events=state.events[:visible],
        daily={day: count - late[day] for day, count in state.daily.items() if count > late[day]},
        engaged={item: t for item, t in state.engaged.items() if t < time},
        hidden={item: t for item, t in state.hidden.items() if abs(t) < time},
        shown={item: times for item, times in shown.items() if times},
        habits=known_before(state.habits, time),
    )
