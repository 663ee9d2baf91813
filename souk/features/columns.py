"""Training rows as Parquet columns, and what a list of a row is padded to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from souk.features.rows import SequenceRow
from souk.spec import Entity, Feature, FeatureSpec
from souk.state_rows import state_columns

ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "float32": pa.float32(), "double": pa.float64()}


def pad(row: Sequence[Any], feature: Feature) -> list[Any]:
    """The value of a list or vector `feature` up to its length: "" or NaN stands for what is missing."""
    return [*row, *["" if feature.dtype == "string" else math.nan] * (feature.length - len(row))]


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
