"""How much of a user's past goes to each value: to a brand, an author, a seller.

A window's likeness mixes all that items have in common. A few of a shop's columns say what users stay with for months,
others what they look for today, and a ranker learns which these are where each has a feature of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from souk.items import ItemTable
from souk.next_steps import PAUSE_MS
from souk.schema import DAY_MS, EventType
from souk.valued import Valued

# How a pair feature begins, TASTE:ITEM_FEATURE: of all that was done, of what was done lately, of what was done in the
# visit of the query, and of what was bought lately: who bought a pram looks for no other.
TASTES = AFFINITY, LATELY, VISIT, BOUGHT = "affinity", "lately", "visit", "bought"


def lately(ages: np.ndarray) -> np.ndarray:
    """How much events count for what was done lately, by their ages in days: half after a day, a third after two."""
    return 1 / (1 + np.maximum(ages, 0))


def visited(ages: np.ndarray) -> np.ndarray:
    """Which events are of the visit of the query: those since the last pause of more than half an hour.

    Args:
        ages: `[window]` float64, days from each event to the query, oldest first.

    Returns:
        `[window]` bool.
    """
    pauses = ages - np.append(ages[1:], 0.0)[: len(ages)]
    return np.logical_and.accumulate((pauses <= PAUSE_MS / DAY_MS)[::-1])[::-1]


def tastes_of(form: int, acts: Sequence[str]) -> tuple[str, ...]:
    """Those of TASTES that pairs of a form look at; purchases by themselves where users also look at what they buy."""
    steps = EventType.PURCHASE in acts and not {EventType.CLICK, EventType.CART}.isdisjoint(acts)
    return TASTES[: (form > 3) + (form > 4) + (form > 6) * (1 + steps)]


def counted(taste: str, ages: np.ndarray, kinds: np.ndarray, acts: Sequence[str]) -> np.ndarray:
    """How much each event of a window counts for one of TASTES, `[window]` float64.

    Args:
        taste: which.
        ages: `[window]` float64, days from each event to the query, oldest first.
        kinds: `[window]` int64, the place of each event's type in
        acts: the types that are told apart.
    """
    if taste == VISIT:
        return visited(ages).astype(np.float64)
    if taste == BOUGHT:
        return lately(ages) * (kinds == acts.index(EventType.PURCHASE))
    return lately(ages) if taste == LATELY else np.ones(len(ages))


@dataclass(frozen=True)
class Taste:
    """By how much a past makes values likelier than they are with everyone.

    Of a value: log((n + a p) / ((N + a) p)) for n of N events of the past whose items have it, of those that say
    anything of the feature, the share p of everyone's and the feature's concentration a. It is what the past tells of
    the value beside its popularity (a Dirichlet prior with a mean of p; Zhai and Lafferty 2004, "A Study of Smoothing
    Methods for Language Models", section 3.2). Without a past it is 0.

    Args:
        values: `[V]` int64, those of the past, ascending.
        more: `[V]` float64, by how much each is likelier than if the past had it not, log((n + a p) / (a p)).
        unseen: `[features]` float64, of a value that it has not, log(a / (N + a)).
    """

    values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    more: np.ndarray = field(default_factory=lambda: np.zeros(0))
    unseen: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, items: ItemTable, past: np.ndarray, events: np.ndarray) -> Taste:
        """From a past: positions of items `[P]`, and how many events with each, `[P]`."""
        return cls.each(items, past, [events])[0]

    @classmethod
    def each(cls, items: ItemTable, past: np.ndarray, events: Sequence[np.ndarray]) -> list[Taste]:
        """From a past, one for each way to count it.

        Args:
            items: the item table.
            past: `[P]` int64, positions of items.
            events: `[P]` float64 each, how many events with each.
        """
        shares = items.shares
        row, value = items.expanded(past)
        values, place = np.unique(value, return_inverse=True)
        usual = shares.concentrations[shares.columns[values]] * shares.shares[values]
        says = np.zeros((len(past), len(shares.names)))
        says[row, shares.columns[value]] = 1
        return [
            cls(
                values,
                np.log1p(np.bincount(place, own[row], minlength=len(values)) / usual),
                -np.log1p(own @ says / shares.concentrations),
            )
            for own in events
        ]

    def affinities(self, items: ItemTable, positions: np.ndarray) -> np.ndarray:
        """By feature and item, `[features, M]`: `affinities` of this taste."""
        return affinities([self], items, Valued.of(items, positions))[0]

    def preferred(self, items: ItemTable, most: int) -> np.ndarray:
        """At most so many values that are likelier than with everyone, those that tell most of what was done (events
        times how much likelier); ascending."""
        columns = items.shares.columns[self.values]
        likelier = self.more + self.unseen[columns]
        events = items.shares.concentrations[columns] * items.shares.shares[self.values] * np.expm1(self.more)
        order = np.argsort(-events * likelier, kind="stable")
        return np.sort(self.values[order[likelier[order] > 0][:most]])


def affinities(tastes: Sequence[Taste], items: ItemTable, asked: Valued) -> np.ndarray:
    """Of the values of items, by feature the mean, `[tastes, features, M]`; 0 where an item has none.

    Args:
        tastes: of one query.
        items: the item table.
        asked: M items.
    """
    shape = len(items.shares.names), len(asked)
    cell, size = items.shares.columns[asked.value] * len(asked) + asked.row, shape[0] * shape[1]
    count = np.bincount(cell, minlength=size).reshape(shape)
    found = np.zeros((len(tastes), *shape))
    for own, taste in zip(found, tastes, strict=True):
        more = np.zeros(items.value_count)
        more[taste.values] = taste.more
        told = np.bincount(cell, more[asked.value], minlength=size).reshape(shape)
        own[:] = np.where(count, told / np.maximum(1, count) + taste.unseen[:, np.newaxis], 0)
    return found
