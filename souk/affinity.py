"""How much of a user's past goes to each value: to a brand, an author, a seller.

A window's likeness mixes all that items have in common. A few of a shop's columns say what users stay with for months,
others what they look for today, and a ranker learns which these are where each has a feature of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from souk.items import ItemTable

AFFINITY = "affinity"  # how a pair feature of it begins: affinity:ITEM_FEATURE
LATELY = "lately"  # and of what was done lately


def lately(ages: np.ndarray) -> np.ndarray:
    """How much events count for what was done lately, by their ages in days: half after a day, a third after two."""
    return 1 / (1 + np.maximum(ages, 0))


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
        """From a past.

        Args:
            items: the item table.
            past: `[P]` int64, positions of items.
            events: `[P]` float64, how many events with each.
        """
        shares = items.shares
        row, value = items.expanded(past)
        values, place = np.unique(value, return_inverse=True)
        counts = np.bincount(place, events[row], minlength=len(values))
        usual = shares.concentrations[shares.columns[values]] * shares.shares[values]
        says = np.zeros((len(past), len(shares.names)))
        says[row, shares.columns[value]] = 1
        return cls(values, np.log1p(counts / usual), -np.log1p(events @ says / shares.concentrations))

    def affinities(self, items: ItemTable, positions: np.ndarray) -> np.ndarray:
        """Of the values of items, by feature the mean, `[features, M]`; 0 where an item has none.

        Args:
            items: the item table.
            positions: `[M]` int64.
        """
        row, value = items.expanded(positions)
        shape = len(self.unseen), len(positions)
        cell, size = items.shares.columns[value] * len(positions) + row, len(self.unseen) * len(positions)
        count = np.bincount(cell, minlength=size).reshape(shape)
        more = np.zeros(items.value_count)
        more[self.values] = self.more
        told = np.bincount(cell, more[value], minlength=size).reshape(shape)
        return np.where(count, told / np.maximum(1, count) + self.unseen[:, np.newaxis], 0)

    def preferred(self, items: ItemTable, most: int) -> np.ndarray:
        """At most so many values that are likelier than with everyone, those that tell most of what was done (events
        times how much likelier); ascending."""
        columns = items.shares.columns[self.values]
        likelier = self.more + self.unseen[columns]
        events = items.shares.concentrations[columns] * items.shares.shares[self.values] * np.expm1(self.more)
        order = np.argsort(-events * likelier, kind="stable")
        return np.sort(self.values[order[likelier[order] > 0][:most]])
