"""Purchases of less than nothing: what is taken back, in a file that tells it by a sign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
from pyarrow import parquet

from souk.schema import EventType

FEWEST, MOST = 0.001, 0.5  # share of the purchases: fewer are slips, and where most are so, the sign means the stock


def odd_quantities(events: Path) -> Iterator[str]:
    """Whether purchases have a negative `value`, as returns have.

    Args:
        events: `events.parquet`.
    """
    rows = parquet.ParquetFile(events)
    if "value" not in rows.schema_arrow.names:
        return
    count = negative = 0
    for batch in rows.iter_batches(columns=["event_type", "value"]):
        bought = batch["value"].filter(pc.equal(batch["event_type"], EventType.PURCHASE.value))
        count += len(bought)
        negative += pc.sum(pc.less(bought, 0)).as_py() or 0
    if FEWEST * count <= negative <= MOST * count and negative:
        found = f"events: {negative:,} of {count:,} purchases have a negative value, and count as bought"
        mend = 'event_types: {"-*": return, "*": purchase} of the column with the sign makes them returns'
        both = 'beside a type, templates: {event_type: "{TYPE} {QUANTITY}"} and patterns such as "* -*"'
        yield f"{found}: {mend}; {both}"
