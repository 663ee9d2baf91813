"""What a user engaged with again and again, of a past that is longer than the events that are kept.

A habit needs no order of events, only how often and when. So a state that forgets an event still counts it here, and
the features of a query see the past with each item of it: how often and since when are what models of repeat purchases
are made of (Bhagat et al. 2018, "Buy It Again: Modeling Repeat Purchase Recommendations").

A user of very many items has more habits than are kept. Those of the fewest engagements are forgotten then, and an item
that comes back begins anew: its number and its first time count from there, though it may have been a habit for long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Habit(NamedTuple):
    """The engagements of a user with one item: how many, and the times of the first and the last.

    Times are UTC epoch milliseconds.
    """

    events: int
    first: int
    last: int


Habits = Mapping[str, Habit]  # by item


def remember(habits: Habits, engagements: Iterable[tuple[str, int]], most: int) -> Habits:
    """The habits after more engagements.

    It is a fold: one engagement after the other or all at once, the result is the same. So training, which has the
    whole history, and a server, which has a state, come to the same habits.

    Args:
        habits: those before.
        engagements: items and times, in their order.
        most: once there are twice as many items, those of the most engagements are kept, so many; of equal ones the
            latest. What an item had before it was forgotten does not count.
    """
    found: dict[str, Habit] | None = None
    for item, time in engagements:
        if found is None:
            found = dict(habits)
        old = found.get(item)
        found[item] = Habit(old.events + 1, old.first, time) if old else Habit(1, time, time)
        if len(found) >= 2 * most:
            found = _strongest(found, most)
    return habits if found is None else found


def known_before(habits: Habits, time: int) -> Habits:
    """What habits tell of the time before `time`, UTC epoch milliseconds: of one that goes on later its first alone."""
    if all(habit.last < time for habit in habits.values()):
        return habits
    return {
        item: habit if habit.last < time else Habit(1, habit.first, habit.first)
        for item, habit in habits.items()
        if habit.first < time
    }


def _strongest(habits: Habits, most: int) -> dict[str, Habit]:
    best = sorted(habits, key=lambda item: (habits[item].events, habits[item].last, item))[-most:]
    return {item: habits[item] for item in best}
