"""Cells of events that hold several: the events of a visit, or the ids of all that was shown."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from souk.ingest.profile import MANY, Column

OBJECTS = r"^\[\s*\{|^\{'|^\[\]$"
ID_ENTRY = r"^[^\s.]*\d[^\s.]*$"  # N55689-1, or 17; no 0.5
FEWEST_DIFFERENT, OFTEN = 20, 2  # ids, and how often each comes on the mean
REMEDY = "write a line for each of these (docs/data.md, Rows that hold several events)"


def several(column: Column) -> bool:
    """Whether most cells of a column are lists of objects, or of two ids or more that come again in others."""
    if column.nested or not len(column.texts) or column.numeric or column.time_unit or column.dated:
        return False
    if column.like(OBJECTS) >= MANY:
        return True
    for separator in (" ", "|", ",", ";"):
        parts = pc.split_pattern(pc.utf8_trim(column.texts, "[]"), separator)
        entries = pc.utf8_trim_whitespace(pc.list_flatten(parts))
        entries = entries.filter(pc.not_equal(entries, ""))
        different = pc.count_distinct(entries).as_py()
        if len(entries) < OFTEN * max(len(column.texts), different) or different < FEWEST_DIFFERENT:
            continue
        if pc.mean(pc.match_substring_regex(entries, ID_ENTRY)).as_py() >= MANY:
            return True
    return False


def told_several(columns: Sequence[Column]) -> str:
    """Which column of events holds several of them, with a space after it; "" where none does."""
    column = next((column for column in reversed(columns) if several(column)), None)
    if column is None:
        return ""
    kind = "a list of objects" if column.like(OBJECTS) >= MANY else f"several ids, {column.examples.partition(',')[0]},"
    return f"{column.name} has {kind} in each row: {REMEDY}. "
