"""What can be wrong with a row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Reason(StrEnum):
    """Why a row is refused. A row with several faults counts under the first of this order."""

    MALFORMED = "malformed"  # cannot be split into columns
    ENCODING = "encoding"  # not UTF-8
    MISSING = "missing"
    TYPE = "type"  # cannot be read as the column's type
    UNIT = "unit"  # a time in seconds where milliseconds are expected
    RANGE = "range"
    FUTURE = "future"
    DOMAIN = "domain"  # a category that the schema does not know
    DIMENSION = "dimension"  # a vector of another width
    OUTLIER = "outlier"
    DUPLICATE = "duplicate"


# What a row should have had.
EXPECTED = {
    Reason.MALFORMED: "a JSON object for each {row}",
    Reason.ENCODING: "UTF-8 in {column}",
    Reason.MISSING: "a value for {column}, which is required",
    Reason.TYPE: "{column} to be of type {type}",
    Reason.UNIT: "{column} to be milliseconds since 1970",
    Reason.RANGE: "{column} {range}",
    Reason.FUTURE: "{column} not in the future",
    Reason.DOMAIN: "{column} to be one of {values}",
    Reason.DIMENSION: "{column} of the width that the config declares",
    Reason.OUTLIER: "{column} within the bounds of ingest.outliers, {bounds}",
}
TIME = "{column} to be UTC epoch milliseconds (int64)"


@dataclass(frozen=True)
class Fault:
    """Rows of one table with the same fault.

    Args:
        reason: what is wrong.
        column: where; "" for the whole row.
        rows: `[n]` int64, ascending row indices.
    """

    reason: Reason
    column: str
    rows: np.ndarray


def fault(reason: Reason, column: str, wrong: np.ndarray) -> list[Fault]:
    """The fault of the rows where the mask `wrong` is true; none where there are none."""
    rows = np.flatnonzero(wrong)
    return [Fault(reason, column, rows)] if len(rows) else []


def faulty(faults: list[Fault], rows: int) -> np.ndarray:
    """The mask `[rows]` of rows with any fault."""
    mask = np.zeros(rows, bool)
    for each in faults:
        mask[each.rows] = True
    return mask
