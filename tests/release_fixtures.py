"""Small outputs of the steps before packaging, whose models are opaque bytes: enough for all but answering."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.index.interface import collection_name
from souk.items import available_at
from souk.release.bundle import write_bundle
from souk.release.manifest import read_manifest, write_manifest
from souk.release.naming import WEIGHTS, content_digests, read_weights, release_name
from souk.schema import DAY_MS, Kind
from souk.spec import FeatureSpec
from souk.state import Event, state_of
from souk.state_rows import to_row
from souk.workspace import Workspace
from tests.sources_fixtures import write_sources

ITEMS, DIM, DAYS = 40, 8, 100
SPEC = FeatureSpec(
    dataset="tiny",
    columns=Columns(users={"country": Kind.CATEGORICAL, "age": Kind.NUMERIC}, items={"brand": Kind.CATEGORICAL}),
    objectives=Objectives(
        engaged=Objective(events=("rating",)), satisfied=Objective(events=("rating",), min_value=4, weight=0.5)
    ),
    repeat=Repeat(rule="never"),
    build=BuildFeatures(history_length=8),
)
BOUNDARIES = {"validation_start": 60 * DAY_MS, "test_start": 80 * DAY_MS, "end": DAYS * DAY_MS}
ITEM_IDS = [f"i{position:02d}" for position in range(ITEMS)]


def events_of(user: int) -> list[Event]:
    """A rating a day: users of even number rate items of even number, in a fixed order, and the others the others."""
    start = user % 7
    items = [(2 * ((start + day) % (ITEMS // 2)) + user % 2) % ITEMS for day in range(DAYS)]
    return [
        Event(ITEM_IDS[item], "rating", day * DAY_MS + user, float(1 + (item + day) % 5), f"e{user}-{day}")
        for day, item in enumerate(items)
    ]


def write_features(folder: Path, spec: FeatureSpec = SPEC, users: int = 12) -> Path:
    """A features folder as `build_features` writes it, without the training sequences."""
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(spec.to_json())
    (folder / "windows.json").write_text(json.dumps(BOUNDARIES))
    profiles = {user: {"country": ("ma", "tr")[user % 2], "age": 20.0 + user} for user in range(users)}
    histories = {user: events_of(user) for user in profiles}
    columns = {
        "item_id": ITEM_IDS,
        "item_brand": [f"b{position % 3}" for position in range(ITEMS)],
        "title": [f"Title {position}" for position in range(ITEMS)],
        "available": [position not in (2, 7) for position in range(ITEMS)],
        "created_at": pa.array([None] * ITEMS, pa.int64()),
        "available_until": pa.array(
            [BOUNDARIES["test_start"] - 1, BOUNDARIES["end"] - 1, BOUNDARIES["test_start"], *[None] * (ITEMS - 3)],
            pa.int64(),
        ),
    }
    pq.write_table(pa.table(columns), folder / "items.parquet")
    rows = [(user, event) for user, events in histories.items() for event in events]
    examples = [
        {"event_id": e.event_id, "user_id": f"u{u}", "item_id": e.item_id, "timestamp": e.timestamp} for u, e in rows
    ]
    pq.write_table(pa.Table.from_pylist(examples), folder / "examples.parquet")
    counters = [
        {
            "boundary": name,
            "item_id": item,
            "events": len(times),
            "lately": sum(0.5 ** ((end - t) / DAY_MS) for t in times),
            "until": end,
            "half_life_days": 1.0,
        }
        for name, end in BOUNDARIES.items()
        for item in reversed(ITEM_IDS)
        for times in [[e.timestamp for _, e in rows if e.item_id == item and e.timestamp < end]]
    ]
    pq.write_table(
        pa.Table.from_pylist([{**row, "satisfied_rate": 0.5} for row in counters]), folder / "counters.parquet"
    )
    states = [to_row(state_of(f"u{u}", histories[u], spec, profiles[u]), spec) for u in profiles]
    pq.write_table(pa.Table.from_pylist(states), folder / "user_state.parquet")
    write_sources(folder, spec)
    assets = folder / "transform" / "item" / "transform_fn" / "assets"
    assets.mkdir(parents=True)
    (assets / "item_id").write_text("\n".join(ITEM_IDS))
    (folder / "transform" / "features.json").write_text("{}")
    return folder


def write_models(folder: Path, seed: int = 1, graph: bytes = b"graph") -> tuple[Path, Path]:
    """Folders `towers` and `ranker`; `graph` stands for what differs in SavedModels from run to run."""
    random = np.random.default_rng(seed)
    towers, ranker = folder / "towers", folder / "ranker"
    for model in (towers / "query_tower", towers / "item_tower", ranker / "ranker"):
        (model / "variables").mkdir(parents=True)
        (model / "saved_model.pb").write_bytes(graph)
        (model / "variables" / "variables.index").write_bytes(graph[::-1])
    np.save(towers / "vectors.npy", random.normal(size=(ITEMS, DIM)).astype(np.float32))
    np.savez(towers / "weights.npz", kernel=random.normal(size=(4, 4)).astype(np.float32))
    np.savez(ranker / "weights.npz", kernel=random.normal(size=(3,)).astype(np.float32))
    (ranker / "training.json").write_text(json.dumps({"candidates": 50}))
    (towers / "training.json").write_text(json.dumps({"trained_until": BOUNDARIES["end"]}))
    return towers, ranker


def write_release(folder: Path, work: Path, seed: int = 1, graph: bytes = b"graph", lineage: str = "x") -> str:
    """A release in `folder` out of steps' outputs in `work`; returns its name."""
    features = write_features(work / "features")
    towers, ranker = write_models(work, seed, graph)
    available = available_at(pq.read_table(features / "items.parquet"), BOUNDARIES["end"])
    collection = collection_name(ITEM_IDS, np.load(towers / "vectors.npy"), available)
    bundle = write_bundle(folder, features, towers, ranker, "end", collection)
    write_bundle(folder / "twin", features, towers, ranker, "test_start", collection)
    (folder / "evaluation").mkdir()
    rolling = {"models": {"slate": {"ndcg@10": {"mean": seed / 10}, "coverage@10": 0.5}}}
    (folder / "evaluation" / "metrics.json").write_text(json.dumps({"protocols": {"rolling": rolling}}))
    (folder / "evaluation" / "summary.md").write_text(f"ndcg@10 {seed / 10}")
    weights = read_weights(towers, ranker)
    np.savez(folder / WEIGHTS, **weights)
    content = content_digests(bundle, features, weights)
    name = release_name(SPEC.dataset, content)
    write_manifest(folder, name, content, {"code": lineage})
    return name


def deployed(workspace: Workspace, work: Path, seed: int) -> str:
    """A release in its place in the workspace."""
    name = write_release(work / "release", work, seed)
    workspace.releases.mkdir(parents=True, exist_ok=True)
    (work / "release").rename(workspace.releases / name)
    return name


def sealed_anew(folder: Path) -> None:
    """A test changed files of a release: they are as they were packaged from now on."""
    manifest = read_manifest(folder)
    write_manifest(folder, folder.name, manifest["content"], manifest["lineage"])
