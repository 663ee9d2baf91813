"""Training rows as files: `tf.train.Example` records and Parquet columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf

from souk.features.rows import SequenceRow
from souk.spec import Entity, Feature, FeatureSpec
from souk.state_rows import state_columns

ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "float32": pa.float32(), "double": pa.float64()}


def pad(row: Sequence[Any], feature: Feature) -> list[Any]:
    """The value of a list or vector `feature` up to its length: "" or NaN stands for what is missing."""
    return [*row, *["" if feature.dtype == "string" else math.nan] * (feature.length - len(row))]


def encode(row: SequenceRow, spec: FeatureSpec) -> bytes:
    """A row as a serialised `tf.train.Example`; lists are padded to their length, per target one after the other."""
    example = tf.train.Example()
    fields = example.features.feature
    fields["row_id"].bytes_list.value.append(row.row_id.encode())
    for feature in spec.of(Entity.USER):
        _put(fields, feature, [row.user[feature.name]])
    for feature in spec.of(Entity.TOKEN):
        _put(fields, feature, row.tokens[feature.name])
    for feature in spec.of(Entity.QUERY):
        _put(fields, feature, [target.query[feature.name] for target in row.targets])
    events = [target.event for target in row.targets]
    fields["target_event_id"].bytes_list.value.extend(event.event_id.encode() for event in events)
    fields["target_item_id"].bytes_list.value.extend(event.item_id.encode() for event in events)
    fields["target_time"].int64_list.value.extend(event.timestamp for event in events)
    fields["target_visible"].int64_list.value.extend(target.visible for target in row.targets)
    for name in spec.objectives.given:
        labels = [target.labels[name] for target in row.targets]
        fields[f"target_{name}"].int64_list.value.extend(label.value for label in labels)
        fields[f"target_{name}_at"].int64_list.value.extend(label.known_at for label in labels)
    return example.SerializeToString(deterministic=True)


def _put(fields: Any, feature: Feature, values: Iterable[Any]) -> None:
    if feature.length:
        values = [entry for value in values for entry in pad(value, feature)]
    field = fields[feature.name]
    if feature.dtype == "string":
        field.bytes_list.value.extend(value.encode() for value in values)
    elif feature.dtype == "int64":
        field.int64_list.value.extend(values)
    else:
        field.float_list.value.extend(values)


def write_records(path: str, records: Iterable[bytes]) -> None:
    """Writes a TFRecord file."""
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)


def read_records(folder: str | Path) -> Iterator[tf.train.Example]:
    """The rows of `sequences/`, shard by shard, for tools and tests; training reads them with `tf.data`."""
    for path in sorted(Path(folder).glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield tf.train.Example.FromString(record)


def example_schema(spec: FeatureSpec) -> pa.Schema:
    """The columns of `examples.parquet`."""
    fixed = [
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),
        ("item_id", pa.string()),
        *((column, pa.int64()) for name in spec.objectives.given for column in (name, f"{name}_at")),
        ("row_id", pa.string()),
        ("visible", pa.int64()),
    ]
    return pa.schema(fixed + [(f.name, arrow_type(f)) for f in spec.of(Entity.QUERY)])


def example_rows(user_id: str, row: SequenceRow) -> Iterator[dict[str, Any]]:
    """The ranker examples of a sequence row, one per target."""
    for target in row.targets:
        yield {
            "event_id": target.event.event_id,
            "user_id": user_id,
            "timestamp": target.event.timestamp,
            "item_id": target.event.item_id,
            **{name: label.value for name, label in target.labels.items()},
            **{f"{name}_at": label.known_at for name, label in target.labels.items()},
            "row_id": row.row_id,
            "visible": target.visible,
            **target.query,
        }


def arrow_type(feature: Feature) -> pa.DataType:
    """The Parquet type of a raw feature."""
    scalar = ARROW_TYPES[feature.dtype]
    return pa.list_(scalar) if feature.length else scalar


def state_schema(spec: FeatureSpec) -> pa.Schema:
    """The columns of `user_state.parquet`."""
    return pa.schema([(name, _column_type(text)) for name, text in state_columns(spec).items()])


def _column_type(text: str) -> pa.DataType:
    if text.startswith("list<"):
        return pa.list_(ARROW_TYPES[text[5:-1]])
    return ARROW_TYPES[text]


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, column by column."""
    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)
