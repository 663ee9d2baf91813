"""What a call may have meant by a value that is refused, and what to send in its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from souk.ingest import cells
from souk.ingest.convert import ENDS
from souk.values import SHOWN

MOST_VALUES = 20  # of a closed column, in an error
FINER = {"microseconds": 1000, "nanoseconds": 1_000_000}
YEARS = range(978_307_200_000, 4_102_444_800_000)  # UTC epoch milliseconds, 2001 to 2099


def number_of(value: Any) -> str:
    """What to send for a written time, which files may have; "" for what is none, or names no zone."""
    if not isinstance(value, str) or not re.search(cells.NAMES_ZONE, value):
        return ""
    times, wrong = cells.parse_time(pa.array([value]), "iso")
    return "" if wrong[0] else f"Send {times.cast(pa.int64())[0]}: files may have written times, calls have numbers."


def finer_clock(value: Any) -> str:
    """What to do with a time whose clock counts micro- or nanoseconds; "" for another."""
    if not isinstance(value, int) or isinstance(value, bool):
        return ""
    units = (unit for unit, size in FINER.items() if value // size in YEARS)
    return next((f"It looks like {unit}: divide it by {FINER[unit]:,}." for unit in units), "")


def own_clock(now: int, ahead_ms: int) -> str:
    """By which clock a time is to come, and how far ahead of it one may be."""
    moment = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"This server's clock says {now} ({moment} UTC), and allows {ahead_ms // 1000} seconds more: set the sender's."
    )


def together(own: str, raws: Sequence[str]) -> str:
    """The files' names of what a column is made of."""
    return ("the earliest of " if own == ENDS and len(raws) > 1 else "") + " and ".join(raws)


def nearest_of(value: str, allowed: Sequence[str]) -> str:
    """The question whether one of the allowed values was meant; of long lists to look through all would take seconds
    for a full call."""
    near = difflib.get_close_matches(value[:SHOWN], allowed[:MOST_VALUES], n=1)
    return f"Did you mean {near[0][:SHOWN]!r}?" if near else ""


def listed(values: Sequence[str]) -> str:
    """Values for an error, and how many more there are."""
    more = f" and {len(values) - MOST_VALUES:,} others, which the release's schema lists"
    return ", ".join(value[:SHOWN] for value in values[:MOST_VALUES]) + (more if len(values) > MOST_VALUES else "")
