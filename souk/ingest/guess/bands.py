"""Numbers that a column gives as bands, such as the installs of an app: 1,000,000+, 10K-50K or >500."""

from __future__ import annotations

import pandas as pd

from souk.ingest import cells
from souk.ingest.profile import MANY, Column

LEAST = r"\d[\d.,' ]*\s?([kKmMbB]|[Mm]io\.?|Tsd\.?)?"
BAND = rf"^\s*([<>≤≥~]=?\s*)?{LEAST}\s*(\+|[-–]\s*{LEAST}\+?|(bis|to)\s+{LEAST})?\s*$"
MANY_MORE = r"\+|[-–]|[<>≤≥~]|\d\s?[kKmMbB]|bis|to"  # what a plain number has not
TIMES = {"k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9}


def banded(column: Column) -> bool:
    """Whether nearly all values are bands of numbers, or rounded ones as 10M."""
    if column.nested or column.numeric or column.time_unit or column.dated or not len(column.texts):
        return False
    return column.like(BAND) >= MANY and column.like(MANY_MORE) >= 0.5


def lower_bounds(column: Column) -> pd.Series:
    """The least number of each band, NaN where there is none, row by row."""
    parts = cells.parse_text(column.values)[0].to_pandas().str.extract(r"(\d[\d.,' ]*)\s?([kKmMbBT]?)")
    whole = parts[0].str.replace(r"[,' ]|\.(?=\d{3}(\D|$))", "", regex=True).str.rstrip(".")
    return pd.to_numeric(whole, errors="coerce") * parts[1].str.lower().map(TIMES).fillna(1.0)
