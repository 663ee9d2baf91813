"""A query as pairs and sources see it: what was done, how long ago, and what is the asker's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from souk.acts import kinds_of
from souk.affinity import AFFINITY, Taste, counted, lately, tastes_of
from souk.habits import Habits
from souk.items import ItemTable
from souk.matches import Own, own_values
from souk.repeats import NOTHING, Past, again
from souk.satisfaction import surprises
from souk.schema import DAY_MS
from souk.sources.co_visitation import follow


@dataclass(frozen=True)
class PairQuery:
    """What pairs need to know of a query.

    Args:
        time: UTC epoch milliseconds.
        items: `[window]` int64, positions of the window's items, oldest first; -1 for unknown ones.
        ages: `[window]` float64, days from each event to the query.
        moments: `[window]` int64, how many moments each event lies behind the last; events of one time are one.
        segments: `[S]` int64, rows of the segments of the user and the moment.
        surprise: `[window]` float64, how satisfying each event turned out, less its item's rate; NaN where unknown.
        past: what the user engaged with, the habits of before the window too.
        found: what the sources brought so far, by name, for a query that is asked twice; None to keep nothing.
        own: by match, how much each value of items is the user's or the visit's own; empty where nothing is asked.
        tastes: those of `souk.affinity.TASTES` that pairs of this form look at.
        kinds: `[window]` int64, the events' types (`souk.acts.kinds_of`).
    """

    time: int
    items: np.ndarray
    ages: np.ndarray
    moments: np.ndarray
    segments: np.ndarray
    surprise: np.ndarray
    past: Past = NOTHING
    found: dict[str, tuple[np.ndarray, np.ndarray]] | None = None
    own: tuple[Own, ...] = ()
    tastes: Mapping[str, Taste] = field(default_factory=dict)
    kinds: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(
        cls,
        time: int,
        tokens: Mapping[str, Sequence[Any]],
        since_last: float,
        items: ItemTable,
        asker: Mapping[str, Any] | None = None,
        habits: Habits | None = None,
    ) -> PairQuery:
        """From raw features.

        Args:
            time: UTC epoch milliseconds.
            tokens: token features of the events that the query sees, oldest first, not padded.
            since_last: `query_since_last`, seconds.
            items: the item table.
            asker: raw features of the user and the moment; None for a user of whom nothing is known.
            habits: what the user engaged with before those events (`souk.state.habits_at`).
        """
        known = np.array([items.position.get(item, -1) for item in tokens["token_item_id"]], np.int64)
        gaps = np.asarray(tokens["token_gap"], np.float32).astype(np.float64)
        back = np.cumsum([np.float32(since_last), *gaps[:0:-1]])[::-1] if len(known) else np.zeros(0)
        behind = np.cumsum(np.concatenate([[0], gaps[:0:-1] != 0]))[::-1] if len(known) else np.zeros(0)
        moments, ages, asker = behind.astype(np.int64), back * 1000 / DAY_MS, asker or {}
        surprise, segments = surprises(items, known, tokens, ages), items.segments.of(asker)
        past, own = Past.of(time, known, ages, tokens, habits or {}, items), own_values(items, asker, known)
        kinds, there = kinds_of(tokens, items.acts), known >= 0
        names, everything = tastes_of(items.form, items.acts), np.append(past.old, known[there])
        before = {AFFINITY: past.old_events}  # habits are of no time
        events = [
            np.append(before.get(name, 0 * past.old_events), counted(name, ages, kinds, items.acts)[there])
            for name in names
        ]
        tastes = dict(zip(names, Taste.each(items, everything, events), strict=True))
        return cls(time, known, ages, moments, segments, surprise, past, None, own, tastes, kinds)

    def followers(self, items: ItemTable) -> tuple[np.ndarray, np.ndarray]:
        """What others went on to after the window's items: positions, ascending, and scores."""
        return self._once("followers", lambda: follow(items.rules, self.items, self.moments, len(items.vectors)))

    def taken_together(self, items: ItemTable) -> tuple[np.ndarray, np.ndarray]:
        """What those take who took the window's items: positions, ascending, and scores."""
        return self._once("taken_together", lambda: follow(items.ease, self.items, self.moments, len(items.vectors)))

    def again(self, items: ItemTable) -> tuple[np.ndarray, np.ndarray]:
        """The items of the user's own past: positions, ascending, and the sums of their events' decay."""
        return self._once("again", lambda: again(self.past, self.items, self.moments, len(items.vectors)))

    def popular(self, items: ItemTable) -> tuple[np.ndarray, np.ndarray]:
        """What is popular in the segments: positions, ascending, and shares."""
        return self._once("popular", lambda: items.segments.popular(self.segments))

    def near(self, items: ItemTable, positions: np.ndarray) -> np.ndarray:
        """How near candidates are in each number to what was done lately, `[numbers, M]` (`souk.levels`)."""
        known = self.items >= 0
        return items.levels.nearness(self.items[known], lately(self.ages[known]), positions)

    def _once(self, name: str, find: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """What `find` gives, which is not asked again where `found` is kept: a query is of one item table."""
        if self.found is None:
            return find()
        if name not in self.found:
            self.found[name] = find()
        return self.found[name]
