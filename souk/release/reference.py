"""The reference of drift: raw features and scores of requests as they were when the release was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.release.golden import Answer, GoldenRequest
from souk.spec import Entity, FeatureSpec
from souk.state import features_at

NAME = "drift_reference.parquet"
REQUESTS = 500
SCORES = ("score", "engaged", "satisfied")


def write_reference(
    folder: str | Path, spec: FeatureSpec, requests: Sequence[GoldenRequest], answers: Sequence[Answer]
) -> None:
    """A row per request: `user_*` and `query_*` features but ids, and the mean `slate_*` of its items.

    Args:
        folder: the release.
        spec: its specification.
        requests: sampled ones.
        answers: theirs.
    """
    rows = [_row(spec, request, answer) for request, answer in zip(requests, answers, strict=True)]
    table = pa.Table.from_pylist(rows, schema=_schema(spec))
    pq.write_table(table, Path(folder) / NAME)


def _row(spec: FeatureSpec, request: GoldenRequest, answer: Answer) -> dict[str, Any]:
    features = features_at(request.state, request.timestamp, spec, request.context)
    items = [{"score": item["score"], **item["scores"]} for item in answer["items"]]
    scores = {f"slate_{name}": float(np.mean([item.get(name, np.nan) for item in items or [{}]])) for name in SCORES}
    return {**features.user, **features.query, **scores}


def _schema(spec: FeatureSpec) -> pa.Schema:
    types = {"string": pa.string(), "int64": pa.int64(), "float32": pa.float32()}
    fields = [
        pa.field(f.name, pa.list_(types[f.dtype]) if f.length else types[f.dtype])
        for entity in (Entity.USER, Entity.QUERY)
        for f in spec.of(entity)
        if f.name != "user_id"
    ]
    return pa.schema([*fields, *(pa.field(f"slate_{name}", pa.float32()) for name in SCORES)])
