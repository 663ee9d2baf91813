"""How many events a user had on each day: the part of a state that tells how busy the last days were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

COUNT_DAYS = 30
KEPT_DAYS = 2 * COUNT_DAYS  # so that a query up to COUNT_DAYS before the last event still counts right


def counted(daily: Mapping[int, int], days: Iterable[int]) -> dict[int, int]:
    """`UserState.daily` after more events, in any order.

    Args:
        daily: events by UTC day (days since the epoch), of the KEPT_DAYS days up to the last.
        days: those of the events that come.
    """
    found = dict(daily)
    for day in days:
        found[day] = found.get(day, 0) + 1
    last = max(found, default=0)
    return {day: count for day, count in found.items() if day > last - KEPT_DAYS}
