"""The features files that need no history: the item table, the counters, and parts joined to one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.counts import lately
from souk.daily import COUNT_DAYS
from souk.declared import item_features
from souk.features.columns import arrow_type
from souk.features.windows import Windows
from souk.ordered import in_order
from souk.schema import DAY_MS
from souk.sources.freshness import assumed_birth, freshness, imported
from souk.spec import Entity, FeatureSpec

ROWS_AT_ONCE = 4096
PRIOR_LABELS = 10.0  # a rate is drawn to the mean of all items as if it had so many more labels


def item_table(items: pa.Table, spec: FeatureSpec) -> pa.Table:
    """The item feature table, in the order of item ids: raw `item_*` features, `title`, `available`, `created_at`,
    `available_until`."""
    return item_rows(in_order(items, ["item_id"]), spec)


def item_rows(items: pa.Table, spec: FeatureSpec) -> pa.Table:
    """`item_table` in the order of `items`. Few rows at once: as Python objects they take many times their size."""
    starts = range(0, max(1, len(items)), ROWS_AT_ONCE)
    return pa.concat_tables(_item_rows(items.slice(start, ROWS_AT_ONCE), spec) for start in starts)


def _item_rows(items: pa.Table, spec: FeatureSpec) -> pa.Table:
    rows = items.to_pylist()
    features = [item_features(row, spec) for row in rows]
    columns: dict[str, Any] = {"item_id": items["item_id"].cast(pa.string())}
    for feature in spec.of(Entity.ITEM):
        if feature.name != "item_id":
            columns[feature.name] = pa.array([row[feature.name] for row in features], arrow_type(feature))
    columns["title"] = pa.array(["" if row.get("title") is None else str(row["title"]) for row in rows], pa.string())
    columns["available"] = pa.array([row.get("available") is not False for row in rows], pa.bool_())
    for name in ("created_at", "available_until"):
        columns[name] = pa.array([row.get(name) for row in rows], pa.int64())
    return pa.table(columns)


def counters(examples: pa.Table, names: pa.Table, windows: Windows, half: float, has_hours: bool = True) -> pa.Table:
    """What is counted per item up to each boundary.

    Args:
        examples: `event_id`-unique engaging events with `item_id`, `timestamp`, `satisfied`, `satisfied_at`.
        names: `item_id` and `created_at` of all items, in order.
        windows: the boundaries.
        half: half-life of what is popular, milliseconds.
        has_hours: whether the events have a time of day: one answer, since what a model learns at one boundary it is
            asked at another.

    Returns:
        A row per boundary and item: `events` (engaging events before it), `lately` (the same, each counting half after
        every half-life), `until` (the boundary), `half_life_days`, `satisfied_rate` (of the
        labels known before it, drawn to their mean by PRIOR_LABELS), and that mean, `prior_rate`: the rate of an item
        without labels, also of one that comes to be after training. `fresh_share` and `fresh_days`, the same for all
        items, are the `souk.sources.freshness.Freshness` of the events of the 30 days; `assumed_birth` stands for an
        unknown `created_at`, and `has_hours` is kept with them.
    """
    item_ids = names["item_id"].to_pylist()
    created = np.array([np.nan if t is None else t for t in names["created_at"].to_pylist()], np.float64)
    born = created.copy()
    created[np.isin(created, imported(created))] = np.nan
    position = {item: index for index, item in enumerate(item_ids)}
    items = np.array([position[item] for item in examples["item_id"].to_pylist()], np.int64)
    time, satisfied, known_at = (examples[name].to_numpy() for name in ("timestamp", "satisfied", "satisfied_at"))
    parts = []
    for boundary in ("validation_start", "test_start", "end"):
        before: int = getattr(windows, boundary)
        events = _count(items[time < before], len(item_ids))
        recent = (time < before) & (time >= before - COUNT_DAYS * DAY_MS)
        fresh = freshness((time[recent] - created[items[recent]]) / DAY_MS)
        known = (satisfied >= 0) & (known_at < before)
        labels, positives = (_count(items[mask], len(item_ids)) for mask in (known, known & (satisfied == 1)))
        mean = positives.sum() / max(1, labels.sum())
        rate = (positives + PRIOR_LABELS * mean) / (labels + PRIOR_LABELS)
        boundaries = pa.array([boundary] * len(item_ids), pa.string())
        parts.append({"boundary": boundaries, "item_id": item_ids, "events": events})
        parts[-1]["lately"] = lately(items, time, len(item_ids), before, half)
        parts[-1]["satisfied_rate"] = rate.astype(np.float32)
        parts[-1]["prior_rate"] = np.full(len(item_ids), mean, np.float32)
        parts[-1] |= {
            "fresh_share": np.full(len(item_ids), fresh.share),
            "fresh_days": np.full(len(item_ids), fresh.days),
            "assumed_birth": np.full(len(item_ids), assumed_birth(born, before)),
            "has_hours": np.full(len(item_ids), has_hours),
            "until": np.full(len(item_ids), before, np.int64),
            "half_life_days": np.full(len(item_ids), half / DAY_MS),
        }
    return pa.concat_tables(pa.table(part) for part in parts)


def join_parts(parts: Iterable[Path], target: Path, sort: list[str]) -> int:
    """Joins Parquet files into one; without `sort` one row group after the other, never all in memory. Counts rows."""
    paths = sorted(parts)
    if sort:
        whole = pa.concat_tables(pq.read_table(path) for path in paths)
        pq.write_table(in_order(whole, sort), target)
        return len(whole)
    count = 0
    with pq.ParquetWriter(target, pq.read_schema(paths[0])) as writer:
        for path in paths:
            rows = pq.read_table(path)
            count += len(rows)
            writer.write_table(rows)
    return count


def _count(items: np.ndarray[Any, np.dtype[np.int64]], size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.bincount(items, minlength=size).astype(np.int64)
