"""Popular items, for everyone and per segment: what is shown when nothing better can be computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from souk.schema import DAY_MS
from souk.spec import Entity, FeatureSpec, Role
from souk.state import COUNT_DAYS
from souk.state_rows import PROFILE

LENGTH = 500  # items of a slate
SEGMENT_EVENTS = 200  # fewer say too little of a segment
SEGMENTS = 64  # per feature, the largest


def safe_slates(features: Path, spec: FeatureSpec, counters: pa.Table, boundary: str) -> dict[str, Any]:
    """Available items, most popular first: `global`, and for each categorical user feature by value.

    Popularity is engaging events of the last 30 days before the boundary, then of all time before it.

    Args:
        features: the features folder.
        spec: its specification.
        counters: of the boundary, by position.
        boundary: events at or after it are not looked at.
    """
    items = pq.read_table(features / "items.parquet", columns=["item_id", "available"]).to_pandas()
    overall = counters.select(["events", "events_30d"]).to_pandas().set_index(items["item_id"])
    slates: dict[str, Any] = {"global": _ranked(overall[items["available"].to_numpy()])}
    declared = [f for f in spec.of(Entity.USER) if f.role is Role.CATEGORY]
    if not declared:
        return slates
    end = json.loads((features / "windows.json").read_text(encoding="utf-8"))[boundary]
    events = pq.read_table(features / "examples.parquet", columns=["user_id", "item_id", "timestamp"]).to_pandas()
    events = events[(events["timestamp"] < end) & events["item_id"].isin(slates["global"])]
    users = pq.read_table(features / "user_state.parquet", columns=["user_id", *(PROFILE + f.source for f in declared)])
    profiles = users.to_pandas().set_index("user_id")
    recent = (events["timestamp"] >= end - COUNT_DAYS * DAY_MS).to_numpy(dtype=np.int64)
    for feature in declared:
        value = events["user_id"].map(profiles[PROFILE + feature.source])
        slates[feature.name] = _by_segment(events["item_id"], value, recent)
    return slates


def _by_segment(items: pd.Series, values: pd.Series, recent: np.ndarray) -> dict[str, list[str]]:
    sizes = values[values != ""].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    slates = {}
    for value in sizes[sizes >= SEGMENT_EVENTS].index[:SEGMENTS]:
        inside = (values == value).to_numpy()
        counts = pd.DataFrame({"item": items[inside], "events": 1, "events_30d": recent[inside]})
        slates[str(value)] = _ranked(counts.groupby("item").sum())
    return slates


def _ranked(counts: pd.DataFrame) -> list[str]:
    """The index of `counts`, most popular first, ties by id."""
    names = counts.index.to_numpy(dtype=str)
    order = np.lexsort((names, -counts["events"].to_numpy(), -counts["events_30d"].to_numpy()))
    return [str(name) for name in names[order][:LENGTH]]
