"""The features folder from the tables folder: two Beam pipelines and the tables beside them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow_transform.beam as tft_beam

from souk import outputs
from souk.config import Split
from souk.declared import item_features, user_features
from souk.features.acts import MARKS, write_acts, write_marks
from souk.features.analyze import Analyze, describe, record_batch
from souk.features.co_visitation import CountPairs, WriteRules, join_rules, write_trends
from souk.features.ease import write_ease
from souk.features.labels import engaging_rows
from souk.features.responses import with_responses
from souk.features.runner import Runner
from souk.features.segments import write_popular
from souk.features.shards import PARTS, BuildShard, event_columns, event_types, split_by_shard
from souk.features.tables import counters, item_table, join_parts
from souk.features.tastes import with_concentrations
from souk.features.trends import in_words
from souk.features.windows import Windows, split_windows
from souk.logged_slates import FILE as SLATES
from souk.progress import report
from souk.spec import Entity, FeatureSpec
from souk.state_rows import profile_of

EVENTS_PER_SHARD = 50_000
OWN = frozenset(  # what stands in a features folder, and while it is made
    f"spec.json windows.json items.parquet transform sequences {PARTS} temporary examples.parquet user_state.parquet "
    f"counters.parquet co_visitation ease segment_popular acts.parquet tables.json {MARKS} {SLATES}".split()
)


def build(tables: Path, folder: Path, spec: FeatureSpec, split: Split, runner: Runner) -> dict[str, float]:
    """Writes everything of a features folder.

    Args:
        tables: what ingest wrote.
        folder: where to write; the features that stand there are deleted first.
        spec: the feature specification.
        split: the shares of the windows.
        runner: how Beam runs.

    Returns:
        Counts: `events`, `examples`, `users`, `items`, `transformed_features`.

    Raises:
        SoukError: something else stands in the folder.
    """
    outputs.free_artifact(folder, _features, "features")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    for name in ("sequences", "transform", PARTS, "temporary"):
        (folder / name).mkdir()
    windows = find_windows(tables / "events.parquet", spec, split)
    (folder / "windows.json").write_text(windows.to_json(), encoding="utf-8")
    items = item_table(pq.read_table(tables / "items.parquet"), spec)
    pq.write_table(items, folder / "items.parquet")
    report(f"windows: {windows.text()}")
    half_life = write_trends(tables, folder, spec, windows)
    report(f"half-life of what is popular: {in_words(half_life)}")
    with tft_beam.Context(temp_dir=str(folder / "temporary"), force_tf_compat_v1=False):
        report("analysing users and items")
        analyze_names(tables, folder, spec, runner)
        report("building histories and examples")
        build_histories(tables, folder, spec, windows, runner)
    write_acts(tables / "events.parquet", folder, spec)
    write_marks(tables / "events.parquet", folder, spec)
    described = describe(spec, str(folder / "transform"))
    events = pq.read_metadata(tables / "events.parquet").num_rows
    counts = _finish(folder, tables / "events.parquet", items, spec, windows, half_life)
    write_popular(folder, spec, windows, half_life)
    report(write_ease(folder, windows, half_life))
    return counts | {"events": float(events), "transformed_features": float(len(described))}


def _features(folder: Path) -> bool:
    """Whether a folder has features, or a part of them, and nothing else."""
    return (folder / "spec.json").is_file() and all(path.name in OWN for path in folder.iterdir())


def find_windows(events: Path, spec: FeatureSpec, split: Split) -> Windows:
    """The boundaries, from the times of the engaging events."""
    names = event_columns(spec, pq.read_schema(events).names)
    rows = pq.read_table(
        events, columns=[n for n in names if n in ("event_type", "timestamp", "value", "dwell_seconds")]
    )
    last = pc.max(rows["timestamp"]).as_py() or 0
    rows = rows.filter(pa.array(engaging_rows(rows, spec.objectives.engaged)))
    return split_windows(rows["timestamp"].to_numpy().astype(np.int64), last, split)


def analyze_names(tables: Path, folder: Path, spec: FeatureSpec, runner: Runner) -> None:
    """The transforms of users and items, over their whole tables."""

    def users(rows: pa.Table) -> pa.RecordBatch:
        features = [user_features(row["user_id"], profile_of(row, spec), spec) for row in rows.to_pylist()]
        return _batch(features, Entity.USER, spec)

    def items(rows: pa.Table) -> pa.RecordBatch:
        return _batch([item_features(row, spec) for row in rows.to_pylist()], Entity.ITEM, spec)

    with runner.pipeline() as pipeline:
        for entity, table, features in ((Entity.USER, "users", users), (Entity.ITEM, "items", items)):
            rows = pipeline | f"Read {table}" >> beam.io.ReadFromParquetBatched(str(tables / f"{table}.parquet"))
            batches = rows | f"Features of {table}" >> beam.Map(features)
            batches | Analyze(entity, spec, str(folder / "transform"))


def build_histories(tables: Path, folder: Path, spec: FeatureSpec, windows: Windows, runner: Runner) -> None:
    """Sequence rows, examples and states by shard, and the transforms of tokens and queries."""
    path = tables / "events.parquet"
    columns = event_columns(spec, pq.read_schema(path).names)
    shards = max(1, -(-pq.read_metadata(path).num_rows // EVENTS_PER_SHARD))
    types = event_types(spec)
    with runner.pipeline() as pipeline:
        events = (
            pipeline
            | "Read events" >> beam.io.ReadFromParquetBatched(str(path), columns=columns)
            | "Events by shard" >> beam.FlatMap(split_by_shard, shards, types)
        )
        users = (
            pipeline
            | "Read profiles" >> beam.io.ReadFromParquetBatched(str(tables / "users.parquet"))
            | "Profiles by shard" >> beam.FlatMap(split_by_shard, shards)
        )
        met = {"events": events, "users": users} | "Meet" >> beam.CoGroupByKey()
        built = met | "Build" >> beam.ParDo(BuildShard(spec, windows, str(folder), shards)).with_outputs(
            "token", "query"
        )
        built.token | Analyze(Entity.TOKEN, spec, str(folder / "transform"))
        (
            met
            | "Count pairs" >> beam.ParDo(CountPairs(spec, windows, str(folder)))
            | "Pairs by block" >> beam.GroupByKey()
            | "Write rules" >> beam.ParDo(WriteRules(windows, str(folder)))
        )
        built.query | Analyze(Entity.QUERY, spec, str(folder / "transform"))


def _batch(rows: list[dict[str, Any]], entity: Entity, spec: FeatureSpec) -> pa.RecordBatch:
    return record_batch({f.name: [row[f.name] for row in rows] for f in spec.of(entity)}, entity, spec)


def _finish(
    folder: Path, events: Path, items: pa.Table, spec: FeatureSpec, windows: Windows, half: float
) -> dict[str, float]:
    """Joins the parts, counts, and clears away what is no part of the artifact."""
    parts = folder / PARTS
    examples = join_parts(parts.glob("examples-*"), folder / "examples.parquet", ["timestamp", "event_id"])
    users = join_parts(parts.glob("user_state-*"), folder / "user_state.parquet", [])
    narrow = pq.read_table(
        folder / "examples.parquet", columns=["user_id", "item_id", "timestamp", "satisfied", "satisfied_at"]
    )
    counted = counters(narrow, items.select(["item_id", "created_at"]), windows, half, spec.timed)
    counted = with_concentrations(counted, narrow, items, spec, windows)
    counted = with_responses(counted, events, items["item_id"].to_pylist(), spec, windows)
    pq.write_table(counted, folder / "counters.parquet")
    join_rules(folder, len(items))
    shutil.rmtree(parts)
    shutil.rmtree(folder / "temporary")
    return {"examples": float(examples), "users": float(users), "items": float(len(items))}
