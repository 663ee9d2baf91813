"""What the counters of a boundary say of all items alike; those of before may not have every column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.errors import SoukError
from souk.sources.freshness import Freshness


def first(counters: pa.Table, name: str, missing: Any) -> Any:
    """What they have under a name; `missing` where those of before do not."""
    known = len(counters) and name in counters.column_names
    return counters[name][0].as_py() if known else missing


def prior_rate(counters: pa.Table) -> float:
    """What the rates were drawn to; the mean of the rates in a bundle of before that was kept."""
    if not len(counters):
        return 0.0
    name = "prior_rate" if "prior_rate" in counters.column_names else "satisfied_rate"
    return float(counters[name].to_numpy().astype("float64").mean())


def freshness(counters: pa.Table) -> Freshness:
    """How much of what is engaged with just came; nothing in a bundle of before that was kept."""
    if not len(counters) or "fresh_share" not in counters.column_names:
        return Freshness()
    return Freshness(counters["fresh_share"][0].as_py(), counters["fresh_days"][0].as_py())


def counters_at(features: Path, boundary: str) -> pa.Table:
    """The counters of one boundary, in the order of the items."""
    table = pq.read_table(features / "counters.parquet")
    table = table.filter(pc.equal(table["boundary"], boundary)).drop_columns(["boundary"])
    ids = pq.read_table(features / "items.parquet", columns=["item_id"])["item_id"]
    order = pc.index_in(ids, value_set=table["item_id"])
    if order.null_count or len(ids) != len(table):
        raise SoukError(f"a counter at {boundary} for each of {len(ids)} items", f"{len(table)}", "Rebuild features.")
    return table.take(order)
