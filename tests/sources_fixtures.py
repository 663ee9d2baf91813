"""Rules and popular items for features folders that are written without Beam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from souk.features.ease import ease
from souk.features.rules import pair_sums, rules
from souk.features.segments import write_popular
from souk.features.windows import BOUNDARIES, read_windows
from souk.spec import FeatureSpec


def write_sources(folder: Path, spec: FeatureSpec) -> None:
    """Writes `co_visitation`, `ease` and `segment_popular` from the examples, all engaging, of a features folder."""
    windows = read_windows(folder / "windows.json")
    ids = pq.read_table(folder / "items.parquet")["item_id"].to_pylist()
    position = {item: place for place, item in enumerate(ids)}
    events = pq.read_table(folder / "examples.parquet").to_pandas()
    events = events.sort_values(["user_id", "timestamp", "event_id"])
    users = np.unique(events["user_id"], return_inverse=True)[1]
    items, times = events["item_id"].map(position).to_numpy(np.int64), events["timestamp"].to_numpy(np.int64)
    keys, sums = pair_sums(
        users,
        items,
        times,
        np.ones(len(events), bool),
        windows.ends,
        len(ids),
        np.inf,
    )
    (folder / "co_visitation").mkdir(exist_ok=True)
    steady = np.ones((len(BOUNDARIES), len(ids)), np.float32)
    for name, rows in zip(BOUNDARIES, rules(keys, sums, steady, windows.ends, np.inf, 0, len(ids)), strict=True):
        rows.save(folder / "co_visitation" / f"{name}.npz")
    (folder / "ease").mkdir(exist_ok=True)
    for name in BOUNDARIES:
        ease(users, items, times, len(ids), getattr(windows, name), np.inf).save(folder / "ease" / f"{name}.npz")
    write_popular(folder, spec, windows, np.inf)
