"""What users do in a sample of events, in the contract's words."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.columns import Table
from souk.ingest.patterns import fits_any, rename
from souk.schema import EventType

ENGAGING = (EventType.CLICK, EventType.CART, EventType.PURCHASE, EventType.RATING)


def acts(table: Table) -> pd.DataFrame:
    """Of each row that has them all, `user_id`, `item_id`, `kind` (the contract's event type) and `time` (UTC epoch
    milliseconds)."""
    whose = {key: cells.parse_text(table.mapped[key][0].values)[0].to_pandas() for key in ("user_id", "item_id")}
    rows = {**whose, "kind": event_types(table).to_pandas(), "time": times_of(table).to_pandas()}
    return pd.DataFrame(rows).dropna()


def event_types(table: Table) -> pa.Array:
    """The contract's event type of each row of the sample; null where `skip` leaves it out."""
    if "event_type" in table.constants:
        return pa.repeat(pa.scalar(table.constants["event_type"][0]), len(table.columns[0].values))
    names = {table.stand_ins.get(text, text): str(kind) for text, (kind, _) in table.types.items()}
    said = cells.parse_text(table.mapped["event_type"][0].values)[0]
    return pc.if_else(pa.array(fits_any(said, names)), rename(said, names), None)


def times_of(table: Table) -> pa.Array:
    """Of each row of the sample, UTC epoch milliseconds."""
    source = table.source
    return cells.parse_time(table.mapped["timestamp"][0].values, source.timestamp_unit, source.timezone)[0].cast(
        pa.int64()
    )


def counts_of(types: pa.Array) -> dict[str, int]:
    """How many events there are of each type."""
    return {row["values"]: row["counts"] for row in pc.value_counts(types.drop_null()).to_pylist()}


def engaging_kinds(table: Table) -> list[str]:
    """The event types that engage."""
    counts = counts_of(event_types(table))
    return [str(kind) for kind in ENGAGING if str(kind) in counts and kind not in table.next_steps] or ["click"]
