"""Cuts one user's history into training rows: pure functions between `souk.state` and the files."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from souk.config import Objective
from souk.features.labels import Label, label, returns_from, undone_from
from souk.habits import Habits
from souk.schema import DAY_MS, EventType
from souk.spec import FeatureSpec
from souk.state import Event, engaging, features_at, habits_at, walk, window_start
from souk.withheld import at_hand

MAX_TARGETS = 64  # of a row, where a history is shorter
ANY = None  # in the place of an item: any of them


@dataclass(frozen=True)
class Target:
    """An engaging event that a model learns to predict.

    Args:
        event: the event.
        visible: how many tokens of its row the query sees.
        labels: by objective that is given engagement.
        query: raw query features, context features among them.
        at_hand: whether `souk.withheld.at_hand` keeps it out of the slate: no tower learns to bring it.
    """

    event: Event
    visible: int
    labels: dict[str, Label]
    query: dict[str, Any]
    at_hand: bool = False


@dataclass(frozen=True)
class SequenceRow:
    """The targets of one user whose windows begin at the same event, and the history that they share.

    Args:
        row_id: `user:hop:part`.
        user: raw user features.
        tokens: raw token features, the longest window of the row's targets.
        habits: what the user engaged with before that window.
        targets: at most MAX_TARGETS or the history length, in order.
    """

    row_id: str
    user: dict[str, Any]
    tokens: dict[str, list[Any]]
    habits: Habits
    targets: tuple[Target, ...]


def sequence_rows(
    user_id: str, events: Sequence[Event], profile: Mapping[str, Any], spec: FeatureSpec, end: int
) -> Iterator[SequenceRow]:
    """A row for each start of a window with targets in it; one with many targets gives several.

    Args:
        user_id: the user.
        events: all events of the user that a history or a label looks at, in the order of `Event.order`.
        profile: the declared user columns.
        spec: the feature specification.
        end: one past the last event of the data.
    """
    labels = {name: _Labels(events, rule, end) for name, rule in spec.objectives.given.items()}
    targets: list[Target] = []
    habits: Habits = {}
    hop, part, latest = 0, 0, None
    for event, state in walk(user_id, events, spec, profile):
        if not engaging(event, spec):
            continue
        next_hop = window_start(state.count, spec.history_length) // (spec.history_length // 2)
        if latest is not None and (next_hop != hop or len(targets) == max(MAX_TARGETS, spec.history_length)):
            yield SequenceRow(f"{user_id}:{hop}:{part}", latest.user, latest.tokens, habits, tuple(targets))
            part, targets = (0 if next_hop != hop else part + 1), []
        if not targets:
            habits = habits_at(state, event.timestamp, spec)
        hop = next_hop
        latest = features_at(state, event.timestamp, spec, event.context)
        known = {name: each.of(event) for name, each in labels.items()}
        held = event.item_id in at_hand(state, event.timestamp, spec)
        targets.append(Target(event, len(latest.window), known, latest.query, held))
    if latest is not None:
        yield SequenceRow(f"{user_id}:{hop}:{part}", latest.user, latest.tokens, habits, tuple(targets))


class _Labels:
    """The labels of one user's events by one objective.

    Of what follows an event, the first of each kind decides; it is looked up, however much a user did with an item. Of
    hides all in the label's window do: a later one may take back an earlier one.
    """

    def __init__(self, events: Sequence[Event], objective: Objective, end: int) -> None:
        self._objective, self._end = objective, end
        self._kinds = {*self._objective.unless, *self._objective.followed_by}
        self._done: dict[tuple[str | None, str], list[Event]] = defaultdict(list)
        for event in events:
            if event.event_type in self._kinds:
                self._done[event.item_id, event.event_type].append(event)
                if self._objective.any_item:
                    self._done[ANY, event.event_type].append(event)

    def of(self, event: Event) -> Label:
        return label(self._objective, event, self._later(event), self._end)

    def _later(self, event: Event) -> Iterator[Event]:
        """The first event of each kind that counts, of which none is told by ids."""
        for kind in self._objective.unless:
            done = self._done.get((event.item_id, kind), [])
            place = bisect_left(done, undone_from(self._objective, event, kind), key=_time)
            yield from done[place : self._until(kind, done, place, event)]
        since = returns_from(self._objective, event)
        for kind in self._objective.followed_by:
            done = self._done.get((ANY if self._objective.any_item else event.item_id, kind), [])
            place = bisect_left(done, since, key=_time)
            yield from done[place : self._until(kind, done, place, event)]

    def _until(self, kind: EventType, done: Sequence[Event], place: int, event: Event) -> int:
        """One past the last of `done` from `place` on that `label` needs of a kind."""
        if kind != EventType.HIDE:
            return place + 1
        return bisect_right(done, event.timestamp + int(self._objective.within_days * DAY_MS), key=_time)


def _time(event: Event) -> int:
    return event.timestamp
