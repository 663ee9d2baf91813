"""Days that begin with the month or the day, as 12/31/2024 or 31.12.2024, with or without a time of day."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

ORDERS = {"mdy": ("first", "second"), "dmy": ("second", "first")}  # where the month stands, and the day
WRITTEN = ("iso", *ORDERS)  # the units of times that are written
FORM = (
    r"^(?P<first>\d{1,2})[./-](?P<second>\d{1,2})[./-](?P<year>\d{4})"
    r"(?:(?:,?\s+|T)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?P<rest>:\d{2}(?:[.,]\d{1,9})?)?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?\s?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?$"
)


def in_iso_order(text: pa.Array, unit: str) -> pa.Array:
    """Times of this form as ISO writes them; all else as it is.

    Args:
        text: strings without white space around them.
        unit: mdy or dmy; any other changes nothing.
    """
    if unit not in ORDERS:
        return text
    parts = pc.extract_regex(text, FORM)
    month, day = (pc.utf8_lpad(pc.struct_field(parts, name), 2, "0") for name in ORDERS[unit])
    year, minute, rest, zone = (pc.struct_field(parts, name) for name in ("year", "minute", "rest", "zone"))
    clock = pc.binary_join_element_wise(_hour(parts), minute, "")
    clock = pc.binary_join_element_wise("T", clock, rest, zone, "")
    clock = pc.if_else(pc.equal(minute, ""), "", clock)
    days = pc.binary_join_element_wise(year, month, day, "-")
    return pc.coalesce(pc.binary_join_element_wise(days, clock, ""), text)


def _hour(parts: pa.Array) -> pa.Array:
    """The hour of a day of 24, and a colon: 12 AM is 00, 1 PM is 13."""
    said, half = pc.struct_field(parts, "hour"), pc.utf8_lower(pc.struct_field(parts, "half"))
    number = pc.if_else(pc.equal(said, ""), "0", said).cast(pa.int32())
    of_half = pc.add(pc.if_else(pc.equal(number, 12), 0, number), pc.if_else(pc.equal(half, "p"), 12, 0))
    hour = pc.if_else(pc.equal(half, ""), number, of_half).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_lpad(hour, 2, "0"), ":", "")
