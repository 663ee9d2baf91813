"""A small `tables` folder with everything that can go wrong in it: ties, unicode, missing values, impressions."""

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import DatasetConfig, parse_config
from souk.features.columns import pad
from souk.features.records import read_records
from souk.features.runner import Runner
from souk.schema import DAY_MS
from souk.spec import Entity, FeatureSpec, read_spec
from souk.state import Event
from souk.state_rows import HABIT_COLUMNS, habits_of

CONFIG = """
name: bazaar
data: {events: {path: unused}}
columns:
  events: {device: categorical, discount: numeric, tags: list}
  items: {title: text, category: path, price: numeric, colours: list, image: 'vector[3]'}
  users: {country: categorical, age: numeric, hobbies: list, taste: 'vector[2]'}
objectives:
  engaged: {events: [click, purchase]}
  satisfied: {events: [click, purchase], min_dwell_seconds: 5, unless: [return], within_days: 3}
  back: {events: [click], followed_by: [cart], any_item: true, from_days: 0.5, within_days: 2, weight: 0.3}
repeat: {rule: after_days, days: 7, pause_minutes: 400}
build_features: {history_length: 8, text_buckets: 32, numeric_buckets: 4}
"""
START = 1_700_000_000_000


def bazaar() -> DatasetConfig:
    return parse_config(CONFIG)


def spec_of(config: DatasetConfig) -> FeatureSpec:
    return FeatureSpec(config.name, config.columns, config.objectives, config.repeat, config.build_features)


def bazaar_events(seed: int = 3, users: int = 12, events: int = 500) -> list[dict]:
    """Events in order, many at the same time, of users with long histories and short ones."""
    chance = random.Random(seed)
    rows = []
    for number in range(events):
        rows.append(
            {
                "event_id": f"e{number:05d}",
                "user_id": f"u{int(users * chance.random() ** 2)}é",
                "item_id": f"i{chance.randrange(30):02d}",
                "event_type": chance.choice(["click"] * 5 + ["purchase", "return", "impression", "cart"]),
                "timestamp": START + (number // 3) * DAY_MS // 8,
                "value": chance.choice([None, 1.0, 2.5]),
                "dwell_seconds": chance.choice([None, 1.0, 9.0]),
                "device": chance.choice([None, "ios", "wëb"]),
                "discount": chance.choice([None, 3.5, 10.0]),
                "tags": chance.choice([None, ["gift"], ["gift", "sälé"]]),
            }
        )
    return sorted(rows, key=lambda row: (row["timestamp"], row["event_id"]))


def write_tables(folder: Path, events: list[dict]) -> Path:
    """A `tables` folder as ingest writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    types: dict[str, pa.DataType] = {
        "tags": pa.list_(pa.string()),
        "timestamp": pa.int64(),
        "value": pa.float64(),
        "dwell_seconds": pa.float64(),
        "discount": pa.float64(),
        "position": pa.int64(),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in events[0]])
    pq.write_table(pa.Table.from_pylist(events, schema), folder / "events.parquet")
    items = [
        {
            "item_id": f"i{number:02d}",
            "created_at": START if number % 2 else None,
            "available": number != 7,
            "price": None if number % 5 == 0 else float(number),
            "category": f"home/room {number % 3}" if number % 4 else None,
            "title": f"Größe {number} lamp" if number % 6 else None,
            "colours": ["red", "blue"][: number % 3],
            "image": [0.5, number / 30, -1.0] if number % 7 else None,
        }
        for number in range(30)
    ]
    schema = pa.schema(
        [
            ("item_id", pa.string()),
            ("created_at", pa.int64()),
            ("available", pa.bool_()),
            ("price", pa.float64()),
            ("category", pa.string()),
            ("title", pa.string()),
            ("colours", pa.list_(pa.string())),
            ("image", pa.list_(pa.float32())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(items, schema), folder / "items.parquet")
    ids = sorted({event["user_id"] for event in events} | {"silent"})
    users = [
        {
            "user_id": user,
            "country": None if number % 3 == 0 else "日本",
            "age": None if number % 4 == 0 else 20.0 + number,
            "hobbies": ["chess"] * (number % 2),
            "taste": [0.25, number / 8] if number % 3 else None,
        }
        for number, user in enumerate(ids)
    ]
    schema = pa.schema(
        [
            ("user_id", pa.string()),
            ("country", pa.string()),
            ("age", pa.float64()),
            ("hobbies", pa.list_(pa.string())),
            ("taste", pa.list_(pa.float32())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(users, schema), folder / "users.parquet")
    return folder


def build_bazaar(folder: Path, events: list[dict]) -> Path:
    """Tables and features of `events` in `folder`, by the real build; returns the features folder."""
    from souk.features.pipeline import build

    config = bazaar()
    build(write_tables(folder / "tables", events), folder / "features", spec_of(config), config.split, Runner())
    return folder / "features"


def values(example, name):
    """A feature of a record as Python values."""
    kind = example.features.feature[name].WhichOneof("kind")
    found = list(getattr(example.features.feature[name], kind).value) if kind else []
    return [value.decode() for value in found] if kind == "bytes_list" else found


def targets(features):
    """Everything that training sees of each target, by event id."""
    spec, found = read_spec(features / "spec.json"), {}
    for example in read_records(features / "sequences"):
        ids = values(example, "target_event_id")
        for index, event_id in enumerate(ids):
            visible = values(example, "target_visible")[index]
            seen = {f.name: values(example, f.name)[:visible] for f in spec.of(Entity.TOKEN)}
            seen |= {f.name: values(example, f.name) for f in spec.of(Entity.USER)}
            for feature in spec.of(Entity.QUERY):
                width = feature.length or 1
                seen[feature.name] = values(example, feature.name)[index * width : (index + 1) * width]
            for name in ("item_id", "time", "satisfied", "satisfied_at", "back", "back_at"):
                seen[f"target_{name}"] = values(example, f"target_{name}")[index]
            seen["habits"] = habits_of(*(values(example, name) for name in HABIT_COLUMNS))
            assert event_id not in found
            found[event_id] = seen
    return found


def served_values(raw, feature):
    """A raw feature of `features_at` as the models take it."""
    value = raw[feature.name]
    rows = pad(value, feature) if feature.length else value if isinstance(value, list) else [value]
    return [float(np.float32(row)) for row in rows] if feature.dtype == "float32" else rows


def contents(folder):
    """The bytes of every file, but for TensorFlow's SavedModel protocol buffers: their bytes differ by run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("saved_model.pb", "fingerprint.pb")
    }


def pad_column(column, feature):
    if feature.length:
        kind = object if feature.dtype == "string" else feature.dtype
        return np.array([pad(list(row) if row is not None else [], feature) for row in column], kind)
    return column.to_numpy(object if feature.dtype == "string" else feature.dtype)


def histories(events):
    """The events of each user, as a state takes them."""
    by_user = defaultdict(list)
    for row in events:
        context = {name: row[name] for name in ("device", "discount", "tags") if row[name] is not None}
        numbers = [float("nan") if row[name] is None else row[name] for name in ("value", "dwell_seconds")]
        event = Event(
            row["item_id"], row["event_type"], row["timestamp"], numbers[0], row["event_id"], numbers[1], context
        )
        by_user[row["user_id"]].append(event)
    return by_user
