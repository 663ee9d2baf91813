"""Outliers by robust bounds: median ± width × 1.4826 × MAD (Leys et al. 2013, eq. 1), a column at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import Outliers
from souk.errors import unknown
from souk.ingest.checks import no_acts
from souk.ingest.faults import Fault, Reason, fault
from souk.schema import NO_ACTS, Kind, contract

NORMAL = 1.4826  # makes the MAD of a normal distribution its standard deviation
FEWEST = 20  # a column with fewer values has no bounds
EXEMPT = ("propensity",)  # a probability: its range is known


@dataclass(frozen=True)
class Bounds:
    """What was found and done in one column: `[low, high]`, the number of values outside, and the action."""

    column: str
    low: float
    high: float
    outside: int
    action: str


@dataclass(frozen=True)
class Limits:
    """What `ingest` did with numbers of one table that are out of bounds, for what comes later.

    Args:
        told: by column `[low, high, action]`, as the manifest of the tables has it.
    """

    told: Mapping[str, Sequence[Any]]

    @classmethod
    def of(cls, bounds: Iterable[Bounds]) -> Limits:
        """Those of `ingest` that change or refuse something."""
        return cls({b.column: [b.low, b.high, b.action] for b in bounds if b.action in ("clip", "quarantine")})

    @cached_property
    def bounds(self) -> list[Bounds]:
        """As `treat_outliers` takes them."""
        return [Bounds(name, low, high, 0, action) for name, (low, high, action) in self.told.items()]

    @property
    def refusing(self) -> dict[str, Sequence[Any]]:
        """What is told but for those that clip."""
        return {name: each for name, each in self.told.items() if each[2] == "quarantine"}

    def refuses(self, name: str, value: float) -> bool:
        """Whether no row with this value trained a model."""
        low, high, action = self.told.get(name, (-math.inf, math.inf, ""))
        return bool(action == "quarantine" and (value < low or value > high))

    def refused(self, values: Mapping[str, Any]) -> list[str]:
        """The columns for which no row like this trained a model."""
        return [name for name in self._bounded(values) if self.refuses(name, values[name])]

    def clipped(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same with its numbers within the bounds that clip; what is no number stays, and NaN."""
        found = dict(values)
        for name in self._bounded(values):
            low, high, action = self.told[name]
            if action == "clip":
                found[name] = min(max(found[name], low), high)
        return found

    def _bounded(self, values: Mapping[str, Any]) -> Iterator[str]:
        """The columns of which a row has a number that bounds are of: the `value` of what is no act is another thing,
        and a log has rows of a time when a column was no number."""
        for name in self.told:
            value, kind = values.get(name), values.get("event_type")
            other = name == "value" and kind in NO_ACTS
            if isinstance(value, int | float) and not isinstance(value, bool) and not other:
                yield name

    def text(self, name: str) -> str:
        """The bounds of a column, for people; "" where it has none."""
        return "{:.6g} to {:.6g}".format(*self.told[name][:2]) if name in self.told else ""


def check_override_names(outliers: Outliers, columns: Mapping[str, Mapping[str, Kind]]) -> None:
    """Every column that the config names must be numeric in some table.

    Raises:
        SoukError: one is not; the nearest is named.
    """
    known = {name for table, kinds in columns.items() for name in numeric_columns(table, kinds)}
    for name in outliers.columns:
        if name not in known:
            raise unknown("ingest.outliers.columns to name numeric columns", name, known)


def numeric_columns(table: str, kinds: Mapping[str, Kind]) -> list[str]:
    """The columns that are looked at: numbers of the contract and declared ones."""
    known = [name for name, column in contract(table).items() if column.type == "double" and name not in EXEMPT]
    return sorted({*known, *(name for name, kind in kinds.items() if kind is Kind.NUMERIC)})


def find_bounds(sample: pa.Table, names: list[str], outliers: Outliers) -> list[Bounds]:
    """The bounds of the columns `names`, from rows that are good so far."""
    found = []
    for name in names:
        values = sample[name].to_numpy()
        values = values[~np.isnan(values)]
        action = outliers.columns.get(name, outliers.action)
        if action == "off" or len(values) < FEWEST:
            continue
        middle = np.median(values)
        spread = outliers.width * NORMAL * np.median(np.abs(values - middle))
        if spread > 0:  # 0 where most values are equal: no measure of distance
            found.append(Bounds(name, float(middle - spread), float(middle + spread), 0, action))
    return found


def treat_outliers(
    table: pa.Table, good: np.ndarray, bounds: list[Bounds]
) -> tuple[pa.Table, list[Fault], list[Bounds]]:
    """Clips the values out of bounds in good rows or faults their rows, as `bounds` say.

    Args:
        table: the rows.
        good: `[rows]` mask: the others take no part.
        bounds: by column.

    Returns:
        The rows, the faults, and the bounds with the number of values outside in these rows.
    """
    faults: list[Fault] = []
    counted = []
    for each in bounds:
        values = table[each.column].to_numpy()
        wrong = good & ((values < each.low) | (values > each.high))
        if each.column == "value":
            wrong &= ~no_acts(table)
        counted.append(replace(each, outside=int(wrong.sum())))
        if each.action == "quarantine":
            faults += fault(Reason.OUTLIER, each.column, wrong)
        elif each.action == "clip" and wrong.any():
            clipped = pa.array(np.where(wrong, np.clip(values, each.low, each.high), values), mask=np.isnan(values))
            place = table.column_names.index(each.column)
            table = table.set_column(place, table.schema.field(place), clipped)
    return table, faults, counted
