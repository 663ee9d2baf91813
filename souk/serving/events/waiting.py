"""Engagements of the event log that cannot be counted yet."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping

CHUNK = 2_000  # engagements between two looks at the clock
MOST_WAITING = 100_000  # engagements whose item is still to come, and as many whose time is


class Waiting:
    """Engagements that cannot be counted yet: for a time that is still to come, or for an item that is."""

    def __init__(self) -> None:
        self._ahead: list[tuple[int, str]] = []  # ascending
        self._unknown: OrderedDict[str, deque[int]] = OrderedDict()  # times by item, in the order in which they came
        self._unknown_size = 0
        self._positions: Mapping[str, int] = {}  # of the items that nothing in `_unknown` is of

    def copied(self) -> Waiting:
        """Another with the same, which looks through it at once: its items may be others."""
        other = Waiting()
        other._ahead, other._unknown_size = [*self._ahead], self._unknown_size
        other._unknown = OrderedDict((item, deque(moments)) for item, moments in self._unknown.items())
        return other

    def for_time(self, found: list[tuple[int, str]]) -> None:
        """Takes times and items; where these are too many, what is due last is given up."""
        if found:
            self._ahead = sorted([*self._ahead, *found])[:MOST_WAITING]

    def for_item(self, item: str, moment: int) -> None:
        """Takes one; where these are too many, one of the item that waits longest is given up."""
        self._unknown.setdefault(item, deque()).append(moment)
        self._unknown_size += 1
        if self._unknown_size > MOST_WAITING:
            self._taken(next(iter(self._unknown)), 1)

    def ready(self, now: int, positions: Mapping[str, int]) -> Iterator[list[tuple[str, int]]]:
        """Hands out what is of a time before now, or of an item that is known by now, CHUNK of it at a time.

        Who looks at no more than some of it gets the rest the next time. That costs little where nothing is ready.
        """
        while due := self._ahead[: min(CHUNK, bisect_left(self._ahead, (now,)))]:
            del self._ahead[: len(due)]
            yield [(item, moment) for moment, item in due]
        if positions is self._positions:
            return
        for item in self._unknown.keys() & positions.keys():
            while item in self._unknown:
                yield [(item, moment) for moment in self._taken(item, CHUNK)]
        self._positions = positions

    def _taken(self, item: str, most: int) -> list[int]:
        moments = self._unknown[item]
        taken = [moments.popleft() for _ in range(min(most, len(moments)))]
        self._unknown_size -= len(taken)
        if not moments:
            del self._unknown[item]
        return taken
