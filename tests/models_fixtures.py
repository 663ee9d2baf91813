"""A features folder without Beam, for tests of the models: the layout of docs/architecture.md, written directly.

Its transforms look names up in vocabularies and take logarithms: the interface of TensorFlow Transform's graphs, in
plain TensorFlow.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.declared import item_features
from souk.habits import Habits
from souk.models.inputs import FILL
from souk.schema import DAY_MS, EventType, Kind
from souk.spec import Entity, Feature, FeatureSpec, Role, positive
from souk.state import Event, features_at, habits_at, walk
from souk.state_rows import PROFILE, habit_columns
from tests.sources_fixtures import write_sources

TEXT_BUCKETS = 512
HALF = 7 * DAY_MS  # of what is popular
FIELDS = ("value", "event_id", "dwell_seconds")
IDS = (Role.USER_ID, Role.ITEM_ID, Role.CATEGORY, Role.ENUM, Role.BAG)


class PlainTransform(tf.Module):
    """Raw features of one entity to ids and floats.

    Args:
        features: the raw features.
        vocabularies: known strings by feature name.
    """

    def __init__(self, features: Sequence[Feature], vocabularies: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.features = tuple(features)
        self.tables = {}
        for name, words in vocabularies.items():
            init = tf.lookup.KeyValueTensorInitializer(
                tf.constant(["", *words]), tf.constant([0, *range(2, len(words) + 2)], tf.int64)
            )
            self.tables[name] = tf.lookup.StaticHashTable(init, 1)

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        out = {}
        for feature in self.features:
            value = raw[feature.name]
            if feature.role in IDS:
                out[feature.name] = self.tables[feature.name].lookup(value)
            elif feature.role is Role.TEXT:
                hashed = tf.strings.to_hash_bucket_fast(value, TEXT_BUCKETS) + 2
                out[feature.name] = tf.where(value == "", tf.zeros_like(hashed), hashed)
            elif feature.role is Role.INTEGER:
                out[feature.name] = tf.cast(value, tf.int64) + 2
            else:
                known = tf.where(tf.math.is_nan(value), tf.zeros_like(value), value)
                if feature.role is not Role.VECTOR:
                    known = (tf.math.log1p(known) if feature.role is Role.COUNT else known) / 10
                out[feature.name] = known
        return out


def write_features(
    folder: str | Path, spec: FeatureSpec, events: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame
) -> dict[str, PlainTransform]:
    """Writes a features folder for `events` (user_id, item_id, event_type, timestamp, value?, event_id) and gives its
    transforms by entity."""
    folder = Path(folder)
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    (folder / "transform").mkdir(exist_ok=True)
    (folder / "spec.json").write_text(spec.to_json())
    events = events.sort_values(["timestamp", "event_id"]).reset_index(drop=True)
    items, users = items.sort_values("item_id"), users.sort_values("user_id")
    windows = _windows(events)
    (folder / "windows.json").write_text(json.dumps(windows))
    examples = _write_sequences(folder / "sequences" / "0.tfrecord", spec, events, users)
    examples.sort_values(["timestamp", "event_id"]).to_parquet(folder / "examples.parquet", index=False)
    rows = [{"item_id": row["item_id"], **item_features(row, spec), "title": row.get("title", "")}
            | {"available": row.get("available", True)}
            | {name: row.get(name) for name in ("created_at", "available_until")}
            for row in _rows(items)]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "items.parquet", index=False)
    _counters(events, items, windows, spec).to_parquet(folder / "counters.parquet", index=False)
    (users[["user_id"]].assign(**{PROFILE + name: users[name] for name in spec.columns.users})).to_parquet(
        folder / "user_state.parquet", index=False
    )
    write_sources(folder, spec)
    transforms = _transforms(spec, rows, users, events)
    (folder / "transform" / "features.json").write_text(json.dumps(_described(transforms)))
    return transforms


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _by_user(events: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(events):
        grouped.setdefault(row["user_id"], []).append(row)
    return grouped


def _windows(events: pd.DataFrame) -> dict[str, int]:
    times = events["timestamp"].to_numpy()
    at = [times[int(len(times) * share)] for share in (0.8, 0.9)]
    return {"validation_start": int(at[0]), "test_start": int(at[1]), "end": int(times[-1]) + 1}


def _write_sequences(path: Path, spec: FeatureSpec, events: pd.DataFrame, users: pd.DataFrame) -> pd.DataFrame:
    profiles = {row["user_id"]: row for row in _rows(users)}
    hop, flat = spec.history_length // 2, []
    with tf.io.TFRecordWriter(str(path)) as writer:
        for user, rows in sorted(_by_user(events).items()):
            history = [
                Event(
                    *(r[name] for name in ("item_id", "event_type", "timestamp")),
                    *(r.get(name, math.nan) for name in FIELDS),
                    context={feature.source: r[feature.source] for feature in spec.context},
                )
                for r in rows
            ]
            open_rows: dict[int, list[Any]] = {}
            before: dict[int, Habits] = {}
            for event, state in walk(user, history, spec, profiles[user]):
                if event.event_type in spec.objectives.engaged.events:
                    features = features_at(state, event.timestamp, spec, event.context)
                    before[state.count // hop] = habits_at(state, event.timestamp, spec)
                    open_rows.setdefault(state.count // hop, []).append((event, features))
            for hops, targets in sorted(open_rows.items()):
                row_id = f"{user}:{hops}"
                writer.write(_example(row_id, targets, before[hops], spec).SerializeToString())
                for event, features in targets:
                    flat.append(_flat(row_id, user, event, features, spec))
    return pd.DataFrame(flat)


def _flat(row_id: str, user: str, event: Event, features: Any, spec: FeatureSpec) -> dict[str, Any]:
    keys = {"event_id": event.event_id, "user_id": user, "timestamp": event.timestamp, "item_id": event.item_id}
    labels: dict[str, Any] = {}
    for name, rule in spec.objectives.given.items():
        labels |= {name: int(positive(rule, event.value, event.dwell_seconds)), f"{name}_at": event.timestamp}
    return {**keys, **labels, "row_id": row_id, "visible": len(features.window), **features.query}


def _example(row_id: str, targets: Sequence[tuple[Event, Any]], habits: Habits, spec: FeatureSpec) -> tf.train.Example:
    last = targets[-1][1]
    values: dict[str, list[Any]] = {"row_id": [row_id], **last.tokens, **habit_columns(habits)}
    for f in spec.of(Entity.USER):
        value = last.user[f.name]
        values[f.name] = [*value, *[FILL[f.dtype]] * (f.length - len(value))] if f.length else [value]
    for name in last.query:
        values[name] = [features.query[name] for _, features in targets]
    flat = [_flat(row_id, "", event, features, spec) for event, features in targets]
    for name, source in (
        ("event_id",) * 2,
        ("item_id",) * 2,
        ("time", "timestamp"),
        ("visible",) * 2,
        *((name,) * 2 for name in spec.objectives.given),
    ):
        values[f"target_{name}"] = [row[source] for row in flat]
    return tf.train.Example(features=tf.train.Features(feature={k: _feature(v) for k, v in values.items()}))


def _feature(values: list[Any]) -> tf.train.Feature:
    if values and isinstance(values[0], str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))
    if values and isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values)) if values else tf.train.Feature()


def _counters(events: pd.DataFrame, items: pd.DataFrame, windows: Mapping[str, int], spec: FeatureSpec) -> pd.DataFrame:
    out = []
    for boundary, time in windows.items():
        before = events[events["timestamp"] < time]
        worth = (0.5 ** ((time - before["timestamp"]) / HALF)).groupby(before["item_id"]).sum()
        counts = Counter(before["item_id"])
        for item in items["item_id"]:
            mine = before[before["item_id"] == item] if len(items) < 100 else before.iloc[:0]
            satisfied = sum(positive(spec.objectives.satisfied, r["value"], math.nan) for r in _rows(mine))
            rate = (satisfied + 5) / (len(mine) + 10)
            out.append((boundary, item, float(counts[item]), worth.get(item, 0.0), time, HALF / DAY_MS, rate))
    columns = ["boundary", "item_id", "events", "lately", "until", "half_life_days", "satisfied_rate"]
    return pd.DataFrame(out, columns=columns)


def _transforms(
    spec: FeatureSpec, items: list[dict[str, Any]], users: pd.DataFrame, events: pd.DataFrame
) -> dict[str, PlainTransform]:
    names = [row["item_id"] for row in items]
    vocabularies: dict[str, list[str]] = {}
    for feature in spec.features:
        if feature.role is Role.ITEM_ID:
            vocabularies[feature.name] = names
        elif feature.role is Role.USER_ID:
            vocabularies[feature.name] = sorted(users["user_id"])
        elif feature.role is Role.ENUM:
            vocabularies[feature.name] = list(feature.values)
        elif feature.role is Role.BAG:
            vocabularies[feature.name] = sorted({w for row in items for w in row[feature.name]})
        elif feature.role is Role.CATEGORY:
            tables = {Entity.USER: users, Entity.QUERY: events}
            column = (
                [row[feature.name] for row in items]
                if feature.entity is Entity.ITEM
                else tables[feature.entity][feature.source]
            )
            vocabularies[feature.name] = sorted({str(v) for v in column if v})
    return {
        str(entity): PlainTransform(
            spec.of(entity), {f.name: vocabularies[f.name] for f in spec.of(entity) if f.name in vocabularies}
        )
        for entity in Entity
    }


def _described(transforms: Mapping[str, PlainTransform]) -> dict[str, Any]:
    described = {}
    for entity, transform in transforms.items():
        for f in transform.features:
            ids = f.role in IDS or f.role in (Role.TEXT, Role.INTEGER)
            size = 0
            if f.role in IDS:
                size = int(transform.tables[f.name].size().numpy()) + 1
            elif ids:
                size = (TEXT_BUCKETS if f.role is Role.TEXT else f.size) + 2
            described[f.name] = {"entity": entity, "type": "ids" if ids else "float", "size": size,
                                 "length": f.length}  # fmt: skip
    return described


def pad(values: Sequence[Sequence[Any]], length: int, fill: Any) -> np.ndarray:
    """Rows padded at the end with `fill`."""
    return np.array([[*row, *[fill] * (length - len(row))] for row in values])


def cycle_spec(price: bool = True, **changes: Any) -> FeatureSpec:
    """The spec of `cycle_market`, whose items may do without a price."""
    number = {"price": Kind.NUMERIC} if price else {}
    rating = Objective(events=(EventType.RATING,))
    values: dict[str, Any] = {
        "dataset": "cycle",
        "columns": Columns.model_validate(
            {
                "items": {"category": Kind.PATH, **number, "look": "vector[3]"},
                "users": {"country": Kind.CATEGORICAL, "taste": "vector[2]"},
            }
        ),
        "objectives": Objectives(engaged=rating, satisfied=rating.model_copy(update={"min_value": 4})),
        "repeat": Repeat(rule="always"),
        "build": BuildFeatures(history_length=8),
    }
    return FeatureSpec(**(values | changes))


def cycle_market(users: int = 30, items: int = 12, length: int = 24) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Events, items and users of a market in which everyone goes round: after item i comes item i + 1.

    A user has one event a day and likes (rates 5) the even items only. Every fourth item and user has no vector.
    """
    start = 20_000 * DAY_MS
    events = [
        {"event_id": f"{u:03d}-{n:03d}", "user_id": f"u{u:03d}", "item_id": f"i{(u * 7 + n) % items:02d}"}
        | {"event_type": "rating", "timestamp": start + n * DAY_MS + u * 60_000}
        | {"value": 2.0 if (u * 7 + n) % items % 2 else 5.0}
        for u in range(users)
        for n in range(length)
    ]
    goods = [
        {
            "item_id": f"i{i:02d}",
            "category": f"shelf/{i % 3}",
            "price": float(i),
            "title": f"Item {i}",
            "created_at": None,
            "look": None if i % 4 == 3 else [math.sin(i), math.cos(i), i / items],
        }
        for i in range(items)
    ]
    people = [
        {"user_id": f"u{u:03d}", "country": "ab"[u % 2], "taste": None if u % 4 == 3 else [u / users, -1.0]}
        for u in range(users)
    ]
    return pd.DataFrame(events), pd.DataFrame(goods), pd.DataFrame(people)
