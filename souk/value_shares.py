"""What share each value of the items has of what everyone takes: how many of all engagements are with a brand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from souk.counters import first
from souk.spec import FeatureSpec

CONCENTRATION = "concentration"  # how a column of the counters begins: concentration:ITEM_FEATURE
UNKNOWN = 100.0  # where too little is known


@dataclass(frozen=True)
class ValueShares:
    """Shares as of a boundary, and how fast a user's own take their place.

    Args:
        names: of the item features whose values are compared.
        columns: `[values]` int64, the place in `names` of each value's feature.
        shares: `[values]` float64, of the engagements with items that say anything of the feature, one more with and
            one more without each value; between 0 and 1.
        least: `[names]` float64, the share of a value that nobody took.
        concentrations: `[names]` float64, how many events of everyone's taste every past is taken to begin with.
    """

    names: tuple[str, ...] = ()
    columns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    shares: np.ndarray = field(default_factory=lambda: np.zeros(0))
    least: np.ndarray = field(default_factory=lambda: np.zeros(0))
    concentrations: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        words: Sequence[tuple[str, str]],
        start: np.ndarray,
        values: np.ndarray,
        events: np.ndarray,
    ) -> ValueShares:
        """From the values of all items.

        Args:
            names: of the features.
            words: the feature and the word of each value.
            start: `[items + 1]` int64, where each item's values start in `values`.
            values: int64, in compressed rows; those of one feature stand together.
            events: `[items]`, engagements with each.
        """
        columns, item = _places(names, words), np.repeat(np.arange(len(events)), np.diff(start))
        taken = np.bincount(values, events[item], minlength=len(words))
        # An item of several values says its feature once.
        said = begins(item * len(names) + columns[values])
        item, column = item[said], columns[values][said]
        whole = 2 + np.bincount(column, events[item], minlength=len(names))
        return cls(tuple(names), columns, (1 + taken) / whole[columns], 1 / whole, np.full(len(names), UNKNOWN))

    def counted(self, counters: pa.Table) -> ValueShares:
        """With the concentrations that the counters of the boundary tell."""
        found = [first(counters, f"{CONCENTRATION}:{name}", UNKNOWN) for name in self.names]
        return replace(self, concentrations=np.array(found, np.float64))

    def grown(self, words: Sequence[tuple[str, str]]) -> ValueShares:
        """With values that came later, which nobody took.

        Args:
            words: the feature and the word of each.
        """
        if not len(words):
            return self
        more = _places(self.names, words)
        columns, shares = np.concatenate([self.columns, more]), np.concatenate([self.shares, self.least[more]])
        return replace(self, columns=columns, shares=shares)


def values_of(
    items: pa.Table, spec: FeatureSpec, known: Mapping[tuple[str, str], int] | None = None
) -> tuple[np.ndarray, np.ndarray, dict[tuple[str, str], int]]:
    """The categories of each item as numbers, in compressed rows; `known` numbers stay what they are."""
    columns = [(f, items[f.name].to_pylist()) for f in spec.shared]
    numbers: dict[tuple[str, str], int] = dict(known or {})
    start, values = np.zeros(len(items) + 1, np.int64), list[int]()
    for row in range(len(items)):
        mine = {
            (feature.name, str(word))
            for feature, column in columns
            for word in (column[row] if feature.length else [column[row]])
            if word
        }
        values.extend(numbers.setdefault(key, len(numbers)) for key in sorted(mine))
        start[row + 1] = len(values)
    return start, np.array(values, np.int64), numbers


def begins(keys: np.ndarray) -> np.ndarray:
    """Where equal keys that stand together begin, bool."""
    return np.concatenate([np.ones(min(1, len(keys)), bool), keys[1:] != keys[:-1]])


def _places(names: Sequence[str], words: Sequence[tuple[str, str]]) -> np.ndarray:
    place = {name: number for number, name in enumerate(names)}
    return np.array([place[name] for name, _ in words], np.int64)
