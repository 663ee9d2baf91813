"""A catalogue of which training never saw a part: features without it, its rows, and the queries that took of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import DatasetConfig
from souk.features.windows import Windows
from souk.schema import EventType
from souk.spec import FeatureSpec
from souk.state import Event, QueryFeatures, engaging, features_at, state_of
from souk.state_rows import profile_of
from souk.steps.build_features import build_features


@dataclass(frozen=True)
class ColdQuery:
    """A moment at which a user took items that training never saw.

    Args:
        user: the user.
        time: UTC epoch milliseconds.
        features: what the towers are asked.
        history: the known items taken before it, oldest first.
        targets: the unknown items taken.
    """

    user: str
    time: int
    features: QueryFeatures
    history: tuple[str, ...]
    targets: tuple[str, ...]


def hold_out(tables: Path, folder: Path, share: float, seed: int) -> None:
    """Writes `folder/tables` without a drawn share of the items that have events, and `folder/cold` with them alone."""
    items, events = pq.read_table(tables / "items.parquet"), pq.read_table(tables / "events.parquet")
    seen = np.unique(events["item_id"].to_numpy(zero_copy_only=False).astype(str))
    drawn = np.random.default_rng(seed).permutation(seen)[: round(share * len(seen))]
    for name, table in (("items", items), ("events", events)):
        cold = np.isin(table["item_id"].to_numpy(zero_copy_only=False).astype(str), drawn)
        for place, kept in (("tables", ~cold), ("cold", cold)):
            (folder / place).mkdir(parents=True, exist_ok=True)
            pq.write_table(table.filter(pa.array(kept)), folder / place / f"{name}.parquet")
    shutil.copyfile(tables / "users.parquet", folder / "tables" / "users.parquet")


def build(config: DatasetConfig, folder: Path) -> Path:
    """The features of `folder/tables`, built once."""
    target = folder / "features"
    if not (target / "tables.json").exists():
        step = config.for_step("build_features")
        build_features(step, str(folder / "workspace"), "FnApiRunner", "", str(folder / "tables"), str(target))
    return target


def cold_queries(folder: Path, spec: FeatureSpec, window: tuple[int, int]) -> list[ColdQuery]:
    """The moments of a window at which an unknown item was taken, with the user's known events before them."""
    taken: dict[tuple[str, int], list[str]] = {}
    for row in pq.read_table(folder / "cold" / "events.parquet").to_pylist():
        if window[0] <= row["timestamp"] < window[1] and engaging(_event(row, spec), spec):
            taken.setdefault((row["user_id"], row["timestamp"]), []).append(row["item_id"])
    users = sorted({user for user, _ in taken})
    past: dict[str, list[Event]] = {user: [] for user in users}
    for row in pq.read_table(folder / "tables" / "events.parquet", filters=[("user_id", "in", users)]).to_pylist():
        past[row["user_id"]].append(_event(row, spec))
    people = pq.read_table(folder / "tables" / "users.parquet", filters=[("user_id", "in", users)]).to_pylist()
    profiles = {row["user_id"]: profile_of(row, spec) for row in people}
    return [
        _query(user, time, past[user], tuple(sorted(set(items))), profiles.get(user, {}), spec)
        for (user, time), items in sorted(taken.items())
    ]


def _query(
    user: str, time: int, events: Sequence[Event], targets: tuple[str, ...], profile: Any, spec: FeatureSpec
) -> ColdQuery:
    before = sorted((event for event in events if event.timestamp < time), key=lambda event: event.order)
    features = features_at(state_of(user, before, spec, profile), time, spec)
    return ColdQuery(user, time, features, tuple(e.item_id for e in before if engaging(e, spec)), targets)


def _event(row: dict[str, Any], spec: FeatureSpec) -> Event:
    nan = float("nan")
    return Event(
        row["item_id"],
        EventType(row["event_type"]),
        row["timestamp"],
        nan if row.get("value") is None else row["value"],
        row["event_id"],
        nan if row.get("dwell_seconds") is None else row["dwell_seconds"],
        {feature.source: row.get(feature.source) for feature in spec.context},
    )


def bounds(windows: Windows, name: str) -> tuple[int, int]:
    """Where the window `name` begins and ends."""
    if name == "validation":
        return windows.validation_start, windows.test_start
    return windows.test_start, windows.end
