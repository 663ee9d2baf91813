"""The questions of an evaluation: who asks when, what is known then, and which items are right."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from souk.errors import SoukError
from souk.evaluation.window import Window, kept_out
from souk.marks import taken_at
from souk.metrics import Ints
from souk.spec import FeatureSpec
from souk.state import Event, UserState, engaging, keeps_out, state_of, walk
from souk.state_rows import profile_of
from souk.withheld import at_hand, hidden, withheld

UNAVAILABLE, ENDED = "not available", "ended"
OWN, AT_HAND, REPEATED = "the user's own", "at hand", "taken before"  # by `repeat`: `own`, its pause, and its rule
HIDDEN, TIRED = "hidden", "shown often"  # by the user, and by `repeat.fatigue`
CAUSES = (UNAVAILABLE, ENDED, OWN, AT_HAND, HIDDEN, REPEATED, TIRED)  # why an item is kept out of a slate


@dataclass(frozen=True)
class Catalogue:
    """The items to rank, in the order of the item table, with what was known of them before one window.

    Args:
        ids: `[items]` item ids.
        position: the place of each id.
        available: `[items]` bool, those that were before their end, too.
        engaged_users: per user, the positions that were engaged before the window, in order, repeats kept.
        popularity: `[items]` engaging events before the window.
        old: `[items]` bool: any event of the kinds that histories have, before the window.
        start: where the window begins, UTC epoch milliseconds, and
        end: where it ends.
        engaged_times: per user, the times of `engaged_users`, UTC epoch milliseconds.
        born: `[items]` int64, since when each was there, UTC epoch milliseconds: from its creation or, if that is
            earlier, its first event; 0 where it is old or its creation unknown.
        until: `[items]` int64, the last moment at which each is to be had, UTC epoch milliseconds; FOREVER where it has
            no end.
        owned: per user, the positions of the items that are the user's own (`repeat.own`).
    """

    ids: tuple[str, ...]
    position: Mapping[str, int]
    available: np.ndarray
    engaged_users: Mapping[str, Ints]
    popularity: Ints
    old: np.ndarray
    start: int
    end: int
    engaged_times: Mapping[str, Ints]
    born: Ints
    until: Ints
    owned: Mapping[str, Ints] = field(default_factory=dict)

    def absent(self, query: Query) -> np.ndarray:
        """`[items]` bool, what was not there yet for a query, or not to be had any more."""
        return np.asarray((self.born > query.until) | (self.until < query.timestamp))

    def to_be_had(self, place: int, time: int) -> bool:
        """Whether an item is available at a time, UTC epoch milliseconds."""
        return bool(self.available[place] and self.until[place] >= time)

    def is_own(self, place: int, user: str) -> bool:
        """Whether an item is a user's own."""
        return user in self.owned and bool(np.isin(place, self.owned[user]))

    def on_offer(self, time: int) -> int:
        """How many items are to be had at a time, UTC epoch milliseconds."""
        born, until = self._lives
        return int(np.searchsorted(born, time, side="right") - np.searchsorted(until, time))

    @cached_property
    def _lives(self) -> tuple[Ints, Ints]:
        """Births and ends of the available items that there ever are, each in order."""
        lived = self.available & (self.born <= self.until)
        return np.sort(self.born[lived]), np.sort(self.until[lived])

    @property
    def listed(self) -> np.ndarray:
        """`[items]` bool, what some query of the window ranks: available, there before its end, and not ended at its
        begin."""
        return np.asarray(self.available & (self.until >= self.start) & (self.born < self.end))


@dataclass(frozen=True)
class Query:
    """One moment at which a user is recommended to.

    Args:
        user_id: the user.
        timestamp: UTC epoch milliseconds.
        state: what is known strictly before it, in the challenger's spec.
        context: declared event columns at that moment.
        past: the user's events before it, oldest first, and
        profile: the row of the users table: states in another spec are computed from them.
        history: positions of the items engaged before it, oldest first, repeats kept.
        excluded: positions that `repeat` or the user keeps out of the slate; unavailable items are out of every slate.
        until: items born later are out of it too, UTC epoch milliseconds.
        targets: positions of the right items, available and not excluded.
        target_events: the event of each target.
    """

    user_id: str
    timestamp: int
    state: UserState
    context: Mapping[str, Any]
    past: Sequence[Event]
    profile: Mapping[str, Any]
    history: Ints
    excluded: Ints
    until: int
    targets: Ints
    target_events: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """What is asked under the rolling protocol, and how many more items were engaged with at the moments up to each
    user's last query, but are kept out of the slate: `causes`, by the first of CAUSES that holds. `unavailable` are not
    to be had now or had ended by then, whatever else. `unanswered` are the moments of which all is kept out."""

    queries: list[Query]
    causes: Mapping[str, int]
    unavailable: int = 0
    unanswered: int = 0

    @property
    def filtered(self) -> int:
        """How many are kept out."""
        return sum(self.causes.values())


def nothing_asked(asked: Asked) -> SoukError:
    """What a reader is told where no query has an answer."""
    causes = ", ".join(f"{count:,} {cause}" for cause, count in asked.causes.items() if count)
    paused = "lower repeat.pause_minutes, " if asked.causes[AT_HAND] else ""
    expected = "engagements in the test window with what `repeat` and the catalogue leave in slates"
    remedy = f"Look at `repeat` and at what is available; {paused}or enlarge split.test (docs/data.md)."
    return SoukError(expected, f"none: {causes or 'nobody engaged'}", remedy)


def rolling_queries(window: Window, catalogue: Catalogue, spec: FeatureSpec, most: int) -> list[Query]:
    """A query for each moment of engagement in the window, at most the first `most` of each user.

    All that a user engages with at one time are the targets of one query.
    """
    return ask(window, catalogue, spec, most).queries


def ask(window: Window, catalogue: Catalogue, spec: FeatureSpec, most: int) -> Asked:
    """`rolling_queries`, and what is not asked because every item of a moment is kept out of the slate.

    A query is made only where there is an answer: a user who has taken all that there is costs one walk.
    """
    queries, causes, unavailable, unanswered = [], dict.fromkeys(CAUSES, 0), 0, 0
    for user in window.events:
        found = 0
        for moment in _moments(window, user, catalogue, spec):
            targets = moment.targets(catalogue, spec)
            for cause in moment.causes(targets, catalogue, spec):
                causes[cause] += 1
            unavailable += moment.unavailable(catalogue)
            unanswered += bool(moment.wanted) and not targets
            if targets:
                queries.append(_query(window, moment, targets, catalogue, spec, moment.time))
                found += 1
                if found == most:
                    break
    return Asked(queries, causes, unavailable, unanswered)


def frozen_queries(window: Window, catalogue: Catalogue, spec: FeatureSpec) -> list[Query]:
    """One query a user at the start of the window, with the context of the user's first moment in it; the targets are
    all items that are engaged with in the window."""
    queries = []
    for user, events in window.events.items():
        wanted = [event for event in events if event.timestamp >= window.start and engaging(event, spec)]
        first = next(_moments(window, user, catalogue, spec))
        state = window.marked(replace(first.state, hidden={}, shown={}), (), window.start, spec)
        moment = replace(first, time=window.start, wanted=wanted, state=state)
        if targets := moment.targets(catalogue, spec):
            queries.append(_query(window, moment, targets, catalogue, spec, window.end))
    return queries


@dataclass(frozen=True)
class _Moment:
    """The time of some events of a user, and what is known before it.

    Args:
        time: UTC epoch milliseconds.
        wanted: the engagements among them.
        state: but for `engaged`:
        engaged: `UserState.engaged`, and
        history: the positions of the items engaged with, oldest first. Both grow once the next moment is asked for.
    """

    time: int
    wanted: Sequence[Event]
    state: UserState
    engaged: Mapping[str, int]
    history: Sequence[int]

    @property
    def _known(self) -> UserState:
        """The state, with as much of `engaged` as tells of what is wanted."""
        old = {e.item_id: self.engaged[e.item_id] for e in self.wanted if e.item_id in self.engaged}
        return replace(self.state, engaged=old)

    def targets(self, catalogue: Catalogue, spec: FeatureSpec) -> dict[int, str]:
        """The right items, available and not excluded: the first event of each by position."""
        barred = kept_out(self._known, self.time, catalogue.on_offer, spec)
        found: dict[int, str] = {}
        for event in self.wanted:
            place = catalogue.position[event.item_id]
            if event.item_id in barred or not catalogue.to_be_had(place, self.time):
                continue
            if not catalogue.is_own(place, self.state.user_id):
                found.setdefault(place, event.event_id)
        return found

    def causes(self, targets: Mapping[int, str], catalogue: Catalogue, spec: FeatureSpec) -> Iterator[str]:
        """Why each of the items wanted that are no target is none."""
        rules = (
            (AT_HAND, at_hand(self.state, self.time, spec)),
            (HIDDEN, hidden(self.state)),
            (REPEATED, withheld(self._known, self.time, spec)),
        )
        for item in sorted({event.item_id for event in self.wanted}):
            place = catalogue.position[item]
            if place not in targets and not catalogue.available[place]:
                yield UNAVAILABLE
            elif place not in targets and catalogue.until[place] < self.time:
                yield ENDED
            elif place not in targets:
                own = catalogue.is_own(place, self.state.user_id)
                yield OWN if own else next((cause for cause, items in rules if item in items), TIRED)

    def unavailable(self, catalogue: Catalogue) -> int:
        """How many of the items wanted are not available."""
        places = {catalogue.position[event.item_id] for event in self.wanted}
        return sum(not catalogue.to_be_had(place, self.time) for place in places)


def _moments(window: Window, user: str, catalogue: Catalogue, spec: FeatureSpec) -> Iterator[_Moment]:
    """The times of a user's events in the window, engagements or not, in one walk through the history; what was
    hidden and shown is known where something is wanted."""
    engaged: dict[str, int] = {}
    history: list[int] = []
    steps = walk(user, window.events[user], spec, profile_of(window.profiles.get(user, {}), spec))
    for time, group in groupby(steps, key=lambda step: step[0].timestamp):
        events, states = zip(*group, strict=True)
        wanted = [event for event in events if engaging(event, spec)]
        if time >= window.start:
            taken = [event.item_id for event in wanted]
            state = window.marked(states[0], taken, time, spec) if taken else states[0]
            yield _Moment(time, wanted, state, engaged, history)
        history.extend(catalogue.position[event.item_id] for event in wanted)
        keeping = [event for event in events if keeps_out(event, spec)] if spec.repeat.events else wanted
        for event in keeping if spec.repeat.rule != "always" else ():
            engaged[event.item_id] = taken_at(engaged, event.item_id, event.timestamp, spec.repeat)


def in_spec(query: Query, spec: FeatureSpec) -> UserState:
    """The state of a query for models of another spec: they may keep a longer history or other columns."""
    state = state_of(query.user_id, query.past, spec, profile_of(query.profile, spec))
    return replace(state, hidden=query.state.hidden, shown=query.state.shown)


def _query(
    window: Window, moment: _Moment, targets: Mapping[int, str], catalogue: Catalogue, spec: FeatureSpec, until: int
) -> Query:
    state = replace(moment.state, engaged=dict(moment.engaged))
    events = window.events[state.user_id]
    excluded = kept_out(state, moment.time, catalogue.on_offer, spec)
    barred = {catalogue.position[item] for item in excluded if item in catalogue.position}
    barred.update(catalogue.owned.get(state.user_id, np.zeros(0, np.int64)).tolist())
    return Query(
        user_id=state.user_id,
        timestamp=moment.time,
        state=state,
        context=moment.wanted[0].context,
        past=events[: bisect_left(events, moment.time, key=lambda e: e.timestamp)],
        profile=window.profiles.get(state.user_id, {}),
        history=np.array(moment.history, dtype=np.int64),
        excluded=np.array(sorted(barred), dtype=np.int64),
        until=until,
        targets=np.array(list(targets), dtype=np.int64),
        target_events=tuple(targets.values()),
    )
