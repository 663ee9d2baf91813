"""Training rows as `tf.train.Example` records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from souk.features.columns import pad
from souk.features.rows import SequenceRow
from souk.spec import Entity, Feature, FeatureSpec
from souk.state_rows import habit_columns


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
    for name, values in habit_columns(row.habits).items():
        kind = fields[name].bytes_list if name == "habit_item_id" else fields[name].int64_list
        kind.value.extend(value.encode() if name == "habit_item_id" else value for value in values)
    events = [target.event for target in row.targets]
    fields["target_event_id"].bytes_list.value.extend(event.event_id.encode() for event in events)
    fields["target_item_id"].bytes_list.value.extend(event.item_id.encode() for event in events)
    fields["target_time"].int64_list.value.extend(event.timestamp for event in events)
    fields["target_visible"].int64_list.value.extend(target.visible for target in row.targets)
    if spec.repeat.pause_minutes:
        fields["target_at_hand"].int64_list.value.extend(int(target.at_hand) for target in row.targets)
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
