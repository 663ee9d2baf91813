"""What is known of items and users beside their events: what slices and diversity are told by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from souk.evaluation.queries import Catalogue
from souk.metrics import Floats, Ints
from souk.schema import Kind
from souk.spec import SHARED_ROLES, Entity, FeatureSpec

QUARTERS = (0.25, 0.5, 0.75)
UNKNOWN = "unknown"
TOLD = (Kind.CATEGORICAL, Kind.LIST, Kind.PATH, Kind.NUMERIC)  # not text and vectors: every value is its own

Labels = list[tuple[str, ...]]


@dataclass(frozen=True)
class Content:
    """The items of a catalogue as people know them.

    Args:
        titles: `[items]`, the id where there is none.
        prices: `[items]` float64, NaN where unknown.
        columns: declared column to the labels of each item.
        value_start: `[items + 1]`, where each item's category values start in `values`.
        values: category values of all items, as numbers; equal words of two columns differ.
    """

    titles: tuple[str, ...]
    prices: Floats
    columns: Mapping[str, Labels]
    value_start: Ints
    values: Ints

    @classmethod
    def read(cls, features: Path, spec: FeatureSpec, catalogue: Catalogue) -> Content:
        """From the item feature table."""
        table = pq.read_table(features / "items.parquet")
        declared = {f.source: f for f in spec.of(Entity.ITEM) if f.name in table.column_names and f.source}
        raw = {name: table[feature.name].to_pylist() for name, feature in declared.items()}
        bags = [raw[name] for name, feature in declared.items() if feature.role in SHARED_ROLES]
        start, values = _values(bags, len(table))
        titles = table["title"].to_pylist() if "title" in table.column_names else [""] * len(table)
        prices = raw.get("price") or [None] * len(table)
        return cls(
            titles=tuple(title or item for title, item in zip(titles, catalogue.ids, strict=True)),
            prices=np.array([np.nan if price is None else price for price in prices], np.float64),
            columns={n: labels(raw[n], kind) for n, kind in spec.columns.items.items() if n in raw and kind in TOLD},
            value_start=start,
            values=values,
        )


def labels(values: Sequence[Any], kind: Kind) -> Labels:
    """The labels of each value of a declared column.

    A number is told by its quarter, a path by its first part, and a list by each of its entries.
    """
    if kind is Kind.NUMERIC:
        return _quarters(values)
    if kind in (Kind.LIST, Kind.PATH):
        most = 1 if kind is Kind.PATH else None
        return [_distinct(value if isinstance(value, list) else str(value or "").split("/"))[:most] for value in values]
    return [(str(value),) if value not in (None, "") else (UNKNOWN,) for value in values]


def _distinct(entries: Sequence[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(entry) for entry in entries if entry)) or (UNKNOWN,)


def _quarters(values: Sequence[Any]) -> Labels:
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    known = np.sort(numbers[np.isfinite(numbers)])
    if not len(known):
        return [(UNKNOWN,)] * len(numbers)
    inner = np.unique(np.quantile(known, QUARTERS, method="lower"))
    edges = np.array([e for e in inner if e < known[-1]])  # a part ends at its edge: the last one is never empty
    parts = np.searchsorted(edges, known)
    ends = [(known[parts == p][0], known[parts == p][-1]) for p in range(len(edges) + 1)]
    names = [f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ends]
    places = np.searchsorted(edges, numbers)
    return [(names[p],) if np.isfinite(n) else (UNKNOWN,) for n, p in zip(numbers, places.tolist(), strict=True)]


def _values(columns: Sequence[Sequence[Any]], items: int) -> tuple[Ints, Ints]:
    """The words of each item as numbers, in compressed rows."""
    numbers: dict[tuple[int, str], int] = {}
    start, values = np.zeros(items + 1, np.int64), list[int]()
    for item in range(items):
        for place, column in enumerate(columns):
            words = column[item] if isinstance(column[item], list) else [column[item]]
            values += [numbers.setdefault((place, word), len(numbers)) for word in dict.fromkeys(words) if word]
        start[item + 1] = len(values)
    return start, np.array(values, np.int64)


def diversity(top: Ints, content: Content) -> Floats:
    """Intra-list diversity: the mean over pairs of items of 1 - cosine of their sets of category values.

    (Ziegler et al. 2005, with the content for the taxonomy.) Items without any value are left out.

    Args:
        top: `[queries, k]` positions, -1 for none.
        content: the items' values.

    Returns:
        `[queries]`, NaN where there are less than two items with values.
    """
    sizes = np.diff(content.value_start)
    row, column = np.nonzero((top >= 0) & (np.where(top >= 0, sizes[top], 0) > 0))
    items = top[row, column]
    counts = sizes[items]
    owner = np.repeat(row, counts)
    inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    values = content.values[np.repeat(content.value_start[items], counts) + inside]
    weight = np.repeat(1 / np.sqrt(counts), counts)  # each item is a vector of unit length
    width = int(content.values.max()) + 1 if len(content.values) else 1
    keys, place = np.unique(owner * width + values, return_inverse=True)
    sums = np.bincount(place, weights=weight, minlength=len(keys))
    squared = np.bincount(keys // width, weights=sums**2, minlength=len(top))
    count = np.bincount(row, minlength=len(top))
    pairs = count * (count - 1)
    return np.divide(pairs - (squared - count), pairs, out=np.full(len(top), np.nan), where=pairs > 0)
