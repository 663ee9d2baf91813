"""Outliers by robust bounds: median ± width × 1.4826 × MAD (Leys et al. 2013, eq. 1), a column at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from souk.config import Outliers
from souk.errors import unknown
from souk.ingest.faults import Fault, Reason, fault
from souk.schema import Kind, contract

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


def treat_outliers(
    table: pa.Table, good: np.ndarray, names: list[str], outliers: Outliers
) -> tuple[pa.Table, list[Fault], list[Bounds]]:
    """Finds the values out of bounds in rows that are good so far; clips them or faults their rows, by the config.

    Args:
        table: the rows.
        good: `[rows]` mask: the bounds are those of these rows.
        names: the columns to look at.
        outliers: width and actions.
    """
    faults: list[Fault] = []
    found: list[Bounds] = []
    for name in names:
        action = outliers.columns.get(name, outliers.action)
        values = table[name].to_numpy()
        there = good & ~np.isnan(values)
        if action == "off" or there.sum() < FEWEST:
            continue
        middle = np.median(values[there])
        spread = outliers.width * NORMAL * np.median(np.abs(values[there] - middle))
        if spread == 0:  # most values are equal: no measure of distance
            continue
        low, high = middle - spread, middle + spread
        wrong = there & ((values < low) | (values > high))
        found.append(Bounds(name, float(low), float(high), int(wrong.sum()), action))
        if action == "quarantine":
            faults += fault(Reason.OUTLIER, name, wrong)
        elif action == "clip" and wrong.any():
            clipped = pa.array(np.where(wrong, np.clip(values, low, high), values), mask=np.isnan(values))
            table = table.set_column(table.column_names.index(name), table.schema.field(name), clipped)
    return table, faults, found
