"""The raw features of training targets, as the request path would have them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from souk.habits import Habits
from souk.items import ItemTable
from souk.models.sequences import UNTUNED, Sequences
from souk.pair_query import PairQuery
from souk.spec import Entity, Feature, FeatureSpec, Role
from souk.state import Event, features_at, habits_at, state_of
from souk.state_rows import habits_of

READ = 256  # rows at a time
LISTS = {"string": "bytes_list", "int64": "int64_list", "float32": "float_list"}


@dataclass(frozen=True)
class Target:
    """One target of a sequence row.

    Args:
        event_id: the event.
        time: UTC epoch milliseconds.
        tokens: raw token features of what the query sees.
        query: raw query features.
        user: raw user features.
        habits: what the user engaged with before the tokens.
    """

    event_id: str
    time: int
    tokens: Mapping[str, Sequence[Any]]
    query: Mapping[str, Any]
    user: Mapping[str, Any]
    habits: Habits

    def pair_query(self, items: ItemTable) -> PairQuery:
        """The query at the target's time."""
        since = self.query["query_since_last"]
        return PairQuery.of(self.time, self.tokens, since, items, {**self.user, **self.query}, self.habits)

    def of_newcomer(self, events: int, profile: bool, spec: FeatureSpec) -> Target:
        """The target as a user asks of whom the last events alone are known.

        Args:
            events: how many; at most as many as the target sees.
            profile: whether the columns of the users table are known.
            spec: the feature specification.
        """
        past = self._events()
        state = state_of("", past[max(0, len(past) - events) :], spec, {})
        known = features_at(state, self.time, spec, {f.source: self.query[f.name] for f in spec.context})
        own = {f.name: self.user[f.name] for f in spec.of(Entity.USER) if profile and f.role is not Role.USER_ID}
        habits = habits_at(state, self.time, spec)
        tokens = {name: known.tokens[name] for name in self.tokens}
        return replace(self, tokens=tokens, query=known.query, user={**known.user, **own}, habits=habits)

    def _events(self) -> list[Event]:
        """Those of the tokens, oldest first."""
        gaps = np.array([self.query["query_since_last"], *self.tokens["token_gap"][:0:-1]], np.float64)
        times = self.time - np.rint(np.cumsum(gaps)[::-1] * 1000).astype(np.int64)
        names, nothing = ("token_item_id", "token_event_type", "token_value", "token_dwell"), [math.nan] * len(times)
        return [
            Event(item, kind, time, value, f"{number:09}", dwell)
            for number, (time, item, kind, value, dwell) in enumerate(
                zip(times.tolist(), *(self.tokens.get(name, nothing) for name in names), strict=True)
            )
        ]


def read_targets(
    sequences: Sequences,
    window: tuple[int, int],
    wanted: Collection[str],
    newcomers: Mapping[str, tuple[int, bool]] = MappingProxyType({}),
) -> Iterator[Target]:
    """The targets of a window whose events are `wanted`; those of `newcomers` as what is told of these."""
    spec = sequences.spec
    batches = tf.data.TFRecordDataset(list(sequences.files)).batch(READ).with_options(UNTUNED)
    for record in chain.from_iterable(batches.as_numpy_iterator()):
        fields = tf.train.Example.FromString(record).features.feature
        times = fields["target_time"].int64_list.value  # in order
        if times[-1] < window[0] or times[0] >= window[1]:
            continue
        events = [event.decode() for event in fields["target_event_id"].bytes_list.value]
        inside = [i for i, event in enumerate(events) if event in wanted]
        if not inside:
            continue
        tokens = {f.name: _values(fields, f) for f in spec.of(Entity.TOKEN)}
        user = {f.name: _value(fields, f, 0) for f in spec.of(Entity.USER)}
        habits = habits_of(
            [item.decode() for item in fields["habit_item_id"].bytes_list.value],
            *(fields[name].int64_list.value for name in ("habit_events", "habit_first", "habit_last")),
        )
        for i in inside:
            visible = fields["target_visible"].int64_list.value[i]
            target = Target(
                events[i],
                times[i],
                {name: values[:visible] for name, values in tokens.items()},
                {f.name: _value(fields, f, i) for f in spec.of(Entity.QUERY)},
                user,
                habits,
            )
            yield target.of_newcomer(*newcomers[events[i]], spec) if events[i] in newcomers else target


def _values(fields: Any, feature: Feature) -> Sequence[Any]:
    """The values of a token feature of all tokens of a row."""
    values = getattr(fields[feature.name], LISTS[feature.dtype]).value
    return [word.decode() for word in values] if feature.dtype == "string" else values


def _value(fields: Any, feature: Feature, index: int) -> Any:
    """The value of `feature` for the target `index` of a row (0 for user features)."""
    field, length = fields[feature.name], feature.length
    values = getattr(field, LISTS[feature.dtype]).value
    value = values[index * length : (index + 1) * length] if length else values[index]
    if feature.dtype != "string":
        return value
    return [word.decode() for word in value] if length else value.decode()
