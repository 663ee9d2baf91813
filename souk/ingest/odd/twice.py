"""Events that are told twice: purchases by a log of an app and the orders, any by a server and an export beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from souk.config import Source
from souk.readers import read_batches
from souk.schema import MINUTE_MS, EventType

MOST_ROWS = 4_000_000  # events, of whose users all are looked at; of more a part
FEWEST = 100  # purchases
MANY = 0.4  # share that comes after another of the same; where each is told twice it is half
APART = 4  # times the distance of two that are one, to the next of the same user and item
A_FEW = 0.01  # share of what a server was sent
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


def sent_and_exported(events: Path, log: Sequence[Source]) -> Iterator[str]:
    """Whether what a server was sent is in the files too, under other ids: of the same user, item, type and second.

    Args:
        events: `events.parquet`.
        log: what servers were sent.
    """
    tables = (batch.table for source in log for batch in read_batches(source))
    ids = [_hashed(table["event_id"]) for table in tables if "event_id" in table.column_names]  # of none, a broken line
    if not ids:
        return
    sent, exported = _keys(parquet.ParquetFile(events), np.unique(np.concatenate(ids)))
    again = int(np.isin(sent, exported).sum())
    if again >= A_FEW * len(sent) and again:
        said = f"events: {again:,} of {len(sent):,} that servers were sent are in the files too, under other ids"
        why = "of the same user, item, type and second: they count twice"
        yield f"{said}, {why}. Give both the same ids, or leave one out (docs/data.md)"


def _keys(file: parquet.ParquetFile, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A number for the user, item, type and second of each event whose id is `known`, ascending, and of the others."""
    keys: tuple[list[np.ndarray], list[np.ndarray]] = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for batch in file.iter_batches(columns=["event_id", "user_id", "item_id", "event_type", "timestamp"]):
        ids, rows = _hashed(batch["event_id"]), batch.drop_columns(["event_id"]).to_pandas()
        rows["timestamp"] //= 1000
        own = pd.util.hash_pandas_object(rows, index=False).to_numpy()
        logged = known[np.minimum(np.searchsorted(known, ids), len(known) - 1)] == ids
        keys[0].append(own[logged])
        keys[1].append(own[~logged])
    return np.concatenate(keys[0]), np.concatenate(keys[1])


def _hashed(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return pd.util.hash_array(ids.to_pandas().to_numpy(object))
