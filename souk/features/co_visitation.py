"""Counts what follows what, in Beam: shards of users give sums of pairs, blocks of items make rules of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.labels import engaging_rows
from souk.features.rules import BLOCK, packed, pair_sums, rules, unpacked
from souk.features.shards import PARTS, read_parts
from souk.features.trends import half_life, trends
from souk.features.windows import BOUNDARIES, Windows
from souk.sources.rows import SparseRows, read_arrays
from souk.spec import FeatureSpec

LIVES = 8  # half-life of a vote, in half-lives of what is popular: pairs are rarer, and last longer
TRENDS = "trends.npz"
RULES = "co_visitation"  # the folder of the artifact


class CountPairs(beam.DoFn):
    """The sums of a shard's pairs, by block of items.

    Args:
        spec: the feature specification.
        windows: the boundaries.
        folder: the features folder, with its item table.
    """

    def __init__(self, spec: FeatureSpec, windows: Windows, folder: str) -> None:
        self.spec, self.windows, self.folder = spec, windows, folder

    def setup(self) -> None:
        """Reads the item ids and the half-life."""
        ids = pq.read_table(Path(self.folder) / "items.parquet", columns=["item_id"])["item_id"]
        self._ids = ids.combine_chunks()
        self._half = float(read_arrays(Path(self.folder) / PARTS / TRENDS, ("half",))["half"])

    def process(self, element: tuple[int, Mapping[str, Iterable[bytes]]]) -> Iterator[tuple[int, bytes]]:
        """Takes (shard, {"events": parts, ...}), gives (block, sums)."""
        events = read_parts(element[1]["events"])
        if events is None or not len(events):
            return
        kinds = pa.array([str(kind) for kind in self.spec.history_events])
        events = events.filter(pc.is_in(events["event_type"], kinds))
        events = events.sort_by([(name, "ascending") for name in ("user_id", "timestamp", "event_id")])
        users = events["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        items = pc.index_in(events["item_id"].combine_chunks(), value_set=self._ids).to_numpy().astype(np.int64)
        times, votes, ends = (
            events["timestamp"].to_numpy(),
            engaging_rows(events, self.spec.objectives.engaged),
            self.windows.ends,
        )
        size = len(self._ids)
        keys, sums = pair_sums(users.astype(np.int64), items, times, votes, ends, size, self._half)
        yield from packed(keys, sums, size, len(ends))


class WriteRules(beam.DoFn):
    """Writes the rules of a block of items, one file for each boundary.

    Args:
        windows: the boundaries.
        folder: the features folder, with the trends.
    """

    def __init__(self, windows: Windows, folder: str) -> None:
        self.windows, self.folder = windows, folder

    def setup(self) -> None:
        """Reads the trends."""
        arrays = read_arrays(Path(self.folder) / PARTS / TRENDS, ("trend", "half"))
        self._trend, self._half = arrays["trend"], float(arrays["half"])

    def process(self, element: tuple[int, Iterable[bytes]]) -> None:
        """Takes (block, sums of shards)."""
        block, parts = element
        windows, size = self._trend.shape
        keys, sums = unpacked(block, sorted(parts), size, windows)
        count = min(BLOCK, size - block * BLOCK)
        made = rules(keys, sums, self._trend, self.windows.ends, self._half, block * BLOCK, count)
        for name, rows in zip(BOUNDARIES, made, strict=True):
            rows.save(Path(self.folder) / PARTS / f"{RULES}-{name}-{block:06d}.npz")


def join_rules(folder: Path, size: int) -> None:
    """Joins the blocks of `size` items to `co_visitation/<boundary>.npz`."""
    (folder / RULES).mkdir(exist_ok=True)
    for name in BOUNDARIES:
        parts = []
        for block in range(-(-size // BLOCK)):
            path = folder / PARTS / f"{RULES}-{name}-{block:06d}.npz"
            count = min(BLOCK, size - block * BLOCK)
            parts.append(SparseRows.load(path, size) if path.exists() else SparseRows.empty(count))
        SparseRows.joined(parts).save(folder / RULES / f"{name}.npz")


def write_trends(tables: Path, folder: Path, spec: FeatureSpec, windows: Windows) -> float:
    """Writes each item's trend at each boundary for `WriteRules`; returns the half-life, milliseconds.

    The half-life is chosen once, on the events before the first boundary.
    """
    ids = pq.read_table(folder / "items.parquet", columns=["item_id"])["item_id"].combine_chunks()
    items, times = _engagements(tables / "events.parquet", ids, spec)
    early = times < windows.validation_start
    half = half_life(items[early], times[early], len(ids))
    found = [trends(items, times, len(ids), getattr(windows, name), half) for name in BOUNDARIES]
    np.savez(folder / PARTS / TRENDS, trend=np.stack(found), half=np.float64(half * LIVES))
    return half


def _engagements(path: Path, ids: Any, spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Item positions and times of the engaging events, read in batches."""
    present = pq.read_schema(path).names
    columns = [n for n in ("item_id", "event_type", "timestamp", "value", "dwell_seconds") if n in present]
    items, times = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for batch in pq.ParquetFile(path).iter_batches(columns=columns):
        table = pa.table(batch)
        table = table.filter(pa.array(engaging_rows(table, spec.objectives.engaged)))
        places = pc.index_in(table["item_id"].combine_chunks(), value_set=ids)
        items.append(places.to_numpy(zero_copy_only=False).astype(np.int32))
        times.append(table["timestamp"].to_numpy())
    return np.concatenate(items), np.concatenate(times)
