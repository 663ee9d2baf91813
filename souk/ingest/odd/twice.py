"""Purchases that events tell twice: in the log of an app or a site, and in the orders beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import parquet

from souk.schema import MINUTE_MS, EventType

MOST_ROWS = 4_000_000  # events, of whose users all are looked at; of more a part
FEWEST = 100  # purchases
MANY = 0.4  # share that comes after another of the same; where each is told twice it is half
APART = 4  # times the distance of two that are one, to the next of the same user and item
A_DAY = 26 * 60 * MINUTE_MS  # orders may have days alone, or times of another zone


def told_twice(events: Path, most: int = MOST_ROWS) -> Iterator[str]:
    """Whether nearly half of the purchases follow another one of the same user and item within a day.

    Lines of one basket have one time, and count once. A habit, as a coffee each day, comes at even distances: two that
    are one are far nearer to each other than to those before and after.

    Args:
        events: `events.parquet`.
        most: of more events only a part of the users is looked at.
    """
    file = parquet.ParquetFile(events)
    part = -(-file.metadata.num_rows // most)
    found = [pd.DataFrame({"user_id": [], "item_id": [], "timestamp": []})]
    for batch in file.iter_batches(columns=["user_id", "item_id", "timestamp", "event_type"]):
        rows = batch.to_pandas()
        rows = rows[rows.pop("event_type") == EventType.PURCHASE.value]
        found.append(rows[pd.util.hash_array(rows["user_id"].to_numpy(object)) % np.uint64(max(1, part)) == 0])
    rows = pd.concat(found[1:] or found).drop_duplicates().sort_values(["user_id", "item_id", "timestamp"])
    gap = rows.groupby(["user_id", "item_id"], sort=False)["timestamp"].diff()
    around = pd.concat([gap.shift(), gap.shift(-1)], axis=1).min(axis=1)  # of the same user and item, or none
    again = int(((gap <= A_DAY) & ~(around < APART * gap)).sum())
    if len(rows) >= FEWEST and again > MANY * len(rows):
        said = f"events: {again:,} of {len(rows):,} purchases come within a day after the same user's of the same item"
        doubt = "are they told twice, by a log and the orders beside it"
        yield f"{said}: {doubt}? Leave one out, by `skip` where it has a word of its own"
