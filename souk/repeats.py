"""Features of a candidate and the user's own past with it: the events of a query's window, and the habits before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from souk.habits import Habits
from souk.items import ItemTable
from souk.satisfaction import own_fields
from souk.schema import DAY_MS
from souk.sources.co_visitation import decay
from souk.sources.rows import summed

NEAR = 6.0  # concentration of a von Mises kernel
TURNS = (1, 7)  # days in which the time of day, and that of the week, comes round


@dataclass(frozen=True)
class Past:
    """What a user engaged with before a query, by item.

    Args:
        items: `[past]` int64, positions, ascending.
        events: `[past]` float64, how many engagements with each.
        first: `[past]` float64, days from the first of them to the query.
        last: `[past]` float64, days from the last.
        hours: `[past]` float64, how near the query's time of day the engagements were: the mean of `near`.
        weekdays: `[past]` float64, likewise of the time of the week.
        engaged: `[window]` bool, which events of the window are engagements with an item that is known.
        old: `[habits]` int64, the items of the habits, and
        old_events: `[habits]` float64, the engagements before the window.
    """

    items: np.ndarray
    events: np.ndarray
    first: np.ndarray
    last: np.ndarray
    hours: np.ndarray
    weekdays: np.ndarray
    engaged: np.ndarray
    old: np.ndarray
    old_events: np.ndarray

    @classmethod
    def of(
        cls,
        time: int,
        window: np.ndarray,
        ages: np.ndarray,
        tokens: Mapping[str, Sequence[Any]],
        habits: Habits,
        items: ItemTable,
    ) -> Past:
        """From a window and the habits before it.

        Args:
            time: of the query, UTC epoch milliseconds.
            window: `[window]` int64, the events' items; -1 for unknown ones.
            ages: `[window]` float64, days from each event to the query.
            tokens: their raw token features.
            habits: what was engaged with before them.
            items: the item table; where it says that items never repeat, they have no past of their own, nor until form
                3 habits.
        """
        where = np.fromiter((items.position.get(item, -1) for item in habits), np.int64, len(habits))
        numbers = np.fromiter(chain.from_iterable(habits.values()), np.int64, 3 * len(habits)).reshape(-1, 3)
        where, numbers = where[where >= 0], numbers[where >= 0]
        often, days = numbers[:, 0].astype(np.float64), (time - numbers[:, 1:]) / DAY_MS
        if items.engaged is None:
            nothing = replace(NOTHING, engaged=np.zeros(len(window), bool))
            return replace(nothing, old=where, old_events=often) if items.form > 3 else nothing
        kinds = {str(kind) for kind in items.engaged.events}
        counts = np.fromiter((kind in kinds for kind in tokens["token_event_type"]), bool, len(window))
        counts &= (window >= 0) & own_fields(items.engaged, tokens)
        found, place = np.unique(np.concatenate([where, window[counts]]), return_inverse=True)
        first, last = np.full(len(found), -np.inf), np.full(len(found), np.inf)
        np.maximum.at(first, place, np.concatenate([days[:, 0], ages[counts]]))
        np.minimum.at(last, place, np.concatenate([days[:, 1], ages[counts]]))
        events = np.bincount(place, np.concatenate([often, np.ones(counts.sum())]), len(found))
        gone = np.concatenate([days[:, 0], days[:, 1], ages[counts]])
        worth = np.concatenate([often / 2, often / 2, np.ones(counts.sum())])
        again = np.concatenate([place[: len(where)], place])
        turns = TURNS if items.has_hours else ()
        near_to = [np.bincount(again, worth * near(gone / turn), len(found)) / events for turn in turns]
        hours, weekdays = near_to or [np.zeros(len(found))] * 2
        return cls(found, events, first, last, hours, weekdays, counts, where, often)

    def columns(self, wanted: np.ndarray) -> np.ndarray:
        """Of candidates `[M]`: log(1 + engagements), 1 / (1 + days since the last), how much it is time again, and how
        near the engagements were to this time of day and of the week, `[5, M]`.

        The third is r / (1 + r) for the days since the last engagement as a multiple r of the mean days from one to the
        next; 0 for an item with less than two.
        """
        found = np.zeros((5, len(wanted)))
        if len(self.items):
            place = np.minimum(np.searchsorted(self.items, wanted), len(self.items) - 1)
            has = self.items[place] == wanted
            place = place[has]
            events, first, last = self.events[place], self.first[place], self.last[place]
            pace = (first - last) / np.maximum(1, events - 1)
            found[0, has] = np.log1p(events)
            found[1, has] = 1 / (1 + last)
            found[2, has] = np.where(pace > 0, last / np.maximum(last + pace, 1e-9), 0)
            found[3, has], found[4, has] = self.hours[place], self.weekdays[place]
        return found

    def before(self, position: int) -> float:
        """How many engagements there were with the item at `position` before the window."""
        return float(self.old_events[self.old == position].sum())


_NONE = np.zeros(0)
_NO_ITEMS = np.zeros(0, np.int64)
NOTHING = Past(_NO_ITEMS, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE.astype(bool), _NO_ITEMS, _NONE)


def near(turns: np.ndarray) -> np.ndarray:
    """How near each number of turns is to a whole one: 1 there, .45 a twelfth of a turn away (two hours of a day)."""
    return np.exp(NEAR * (np.cos(2 * np.pi * turns) - 1))


def before_window(moments: np.ndarray) -> float:
    """The decay of what was before a window: as of one moment before its first event.

    Args:
        moments: `[window]` int64, how many moments each event lies behind the last.
    """
    return float(decay(moments.max(initial=-1) + 1))


def again(past: Past, window: np.ndarray, moments: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The items of the past, ascending, and the sums of their events' decay; habits are one moment before the window.

    Args:
        past: of the user.
        window: `[window]` int64, the items of its events; -1 for unknown ones.
        moments: `[window]` int64, how many moments each lies behind the last.
        size: of the item table.
    """
    known = window >= 0
    before = before_window(moments) * past.old_events
    return summed(np.concatenate([past.old, window[known]]), np.concatenate([before, decay(moments[known])]), size)
