"""A bundle whose right answers are known by construction: real SavedModels with the documented signatures.

Items stand in four groups, each around its own axis. The query tower gives the mean of the vectors of the events that
it sees (the first axis without any), so candidates come from the groups of the history. The ranker likes dear items
for users of the region "north" and cheap ones for all others.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from souk.config import BuildFeatures, Columns, Objective, Objectives, Repeat
from souk.declared import item_features
from souk.index.interface import collection_name
from souk.items import FORM
from souk.models.export import write
from souk.pairs import names_of
from souk.release.bundle import Bundle, BundleSettings
from souk.release.golden import GoldenRequest, write_golden
from souk.release.manifest import write_manifest
from souk.release.pointer import point
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from souk.spec import Entity, FeatureSpec
from souk.state import Event, UserState, state_of
from souk.state_rows import to_row
from souk.store.publish import publish
from souk.workspace import Workspace

GROUPS, SIZE, DIM = 4, 15, 4
IDS = tuple(f"g{group}-{place:02d}" for group in range(GROUPS) for place in range(SIZE))
PRICES = {item: 5.0 + (37 * n) % 90 for n, item in enumerate(IDS)}
HIDDEN = frozenset(item for item in IDS if item.endswith("-07"))
NOW = 1_700_000_000_000
SPEC = FeatureSpec(
    dataset="shop",
    columns=Columns(
        events={"device": "categorical", "basket": "numeric"},
        items={"category": "path", "price": "numeric", "title": "text"},
        users={"region": "categorical"},
    ),
    objectives=Objectives(engaged=Objective(events=("click",)), satisfied=Objective(events=("click",))),
    repeat=Repeat(rule="never"),
    build=BuildFeatures(history_length=8),
)


def vectors() -> np.ndarray:
    """Unit vectors `[items, dim]`: the group's axis and a little of a direction of the item's own."""
    noise = np.random.default_rng(3).normal(0, 0.15, (len(IDS), DIM))
    rows = np.repeat(np.eye(GROUPS, DIM), SIZE, axis=0) + noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def state(user: str, items: list[str], region: str = "") -> UserState:
    """A user who clicked `items`, a minute apart, the last an hour before NOW."""
    first = NOW - 3_600_000 - 60_000 * len(items)
    events = [Event(item, "click", first + 60_000 * n, event_id=f"{user}-{n}") for n, item in enumerate(items)]
    return state_of(user, events, SPEC, {"region": region})


STATES = (
    state("ann", ["g1-00", "g1-01", "g1-02"], "north"),
    state("bob", ["g2-00", "g2-03"], "south"),
    state("cho", [f"g3-{n:02d}" for n in range(SIZE)], "north"),
)


class QueryTowerModel(tf.Module):
    """The mean of the visible events' vectors."""

    def __init__(self) -> None:
        super().__init__()
        init = tf.lookup.KeyValueTensorInitializer(tf.constant(IDS), tf.range(1, len(IDS) + 1, dtype=tf.int64))
        self.places = tf.lookup.StaticHashTable(init, 0)
        self.table = tf.Variable(np.vstack([np.zeros((1, DIM), np.float32), vectors()]))

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = tf.sequence_mask(raw["token_count"], tf.shape(raw["token_item_id"])[1], tf.float32)
        history = tf.gather(self.table, self.places.lookup(raw["token_item_id"]))
        total = tf.reduce_sum(history * seen[..., tf.newaxis], axis=1) + 1e-3 * tf.one_hot([0], DIM)
        return {"vector": tf.math.l2_normalize(total, axis=-1)}


class ItemTowerModel(tf.Module):
    """The vectors of known items; of others the axis of the group that the category names."""

    def __init__(self) -> None:
        super().__init__()
        init = tf.lookup.KeyValueTensorInitializer(tf.constant(IDS), tf.range(len(IDS), dtype=tf.int64))
        self.places = tf.lookup.StaticHashTable(init, -1)
        self.table = tf.Variable(vectors())

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        place = self.places.lookup(raw["item_id"])
        group = tf.strings.to_number(tf.strings.regex_replace(raw["item_category"][:, 1], r"\D", "0"), tf.int32)
        own = tf.gather(self.table, tf.maximum(place, 0))
        return {"vector": tf.where(place[:, tf.newaxis] >= 0, own, tf.one_hot(group % 10, DIM))}


class RankerModel(tf.Module):
    """Probabilities that follow the price, up or down with the user's region."""

    def goods(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"goods": raw["item_price"][:, tf.newaxis]}

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        dear = tf.gather(raw["user_region"] == "north", raw["request"])
        share = raw["goods"][:, 0] / 100.0
        return {"engaged": tf.where(dear, share, 1.0 - share), "satisfied": tf.fill(tf.shape(share), 0.5)}


def specs(*entities: Entity, tokens: bool = False) -> dict[str, tf.TensorSpec]:
    """The inputs of a signature for the features of `entities`."""
    dtypes = {"string": tf.string, "int64": tf.int64, "float32": tf.float32}
    inputs = {}
    for entity in entities:
        for feature in SPEC.of(entity):
            shape = [None, SPEC.history_length] if entity is Entity.TOKEN else [None]
            inputs[feature.name] = tf.TensorSpec(
                [*shape, feature.length] if feature.length else shape, dtypes[feature.dtype]
            )
    return inputs


def save_models(folder: Path) -> None:
    """Writes `query_tower`, `item_tower` and `ranker`."""
    for name, content in exported().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@cache
def exported() -> dict[str, bytes]:
    """The files of the models by name: every shop has the same ones, and an export takes seconds."""
    with tempfile.TemporaryDirectory() as made:
        export(Path(made))
        return {str(path.relative_to(made)): path.read_bytes() for path in Path(made).rglob("*") if path.is_file()}


def export(folder: Path) -> None:
    tower, ranker = QueryTowerModel(), RankerModel()
    inputs = specs(Entity.USER, Entity.TOKEN, Entity.QUERY) | {"token_count": tf.TensorSpec([None], tf.int64)}
    write(tower, folder / "query_tower", serve=(tower.serve, named(inputs)))
    item = ItemTowerModel()
    write(item, folder / "item_tower", serve=(item.serve, named(specs(Entity.ITEM))))
    more = {
        "goods": tf.TensorSpec([None, 1], tf.float32),
        "pair": tf.TensorSpec([None, len(names_of(SPEC))], tf.float32),
        "request": tf.TensorSpec([None], tf.int64),
    }
    write(
        ranker,
        folder / "ranker",
        goods=(ranker.goods, named(specs(Entity.ITEM))),
        serve=(ranker.serve, named(specs(Entity.USER, Entity.QUERY) | more)),
    )


def named(inputs: dict[str, tf.TensorSpec]) -> dict[str, tf.TensorSpec]:
    """The types with their names in them, as a signature needs them."""
    return {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()}


def ranked_segments(lists: dict[str, list[str]]) -> Segments:
    """Segments whose items are popular in the given order."""
    rows = [
        SparseRows.strongest(
            np.zeros(len(items), np.int64),
            np.array([IDS.index(i) for i in items]),
            1 / np.arange(1, len(items) + 1),
            1,
            99,
        )
        for items in lists.values()
    ]
    return Segments({name: row for row, name in enumerate(lists)}, SparseRows.joined(rows))


def without_last(bundle: Bundle) -> Bundle:
    """A release that does not know the last item of a shop."""
    known = len(IDS) - 1
    return replace(
        bundle,
        items=bundle.items.slice(0, known),
        counters=bundle.counters.slice(0, known),
        vectors=vectors()[:-1],
        rules=SparseRows.empty(known),
        segments=Segments.empty(),
    )


def write_shop(folder: Path, candidates: int = 20, ranker: dict[str, Any] | None = None) -> Bundle:
    """Writes the bundle."""
    folder.mkdir(parents=True)
    available = np.array([item not in HIDDEN for item in IDS])
    save_models(folder)
    np.save(folder / "vectors.npy", vectors())
    rows = [{"item_id": i, "category": f"all/{i[:2]}", "price": PRICES[i], "title": f"Item {i}"} for i in IDS]
    table = [
        {
            "item_id": row["item_id"],
            **item_features(row, SPEC),
            "title": row["title"],
            "available": bool(ok),
            "created_at": 0,
        }
        for row, ok in zip(rows, available, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(table), folder / "items.parquet")
    counters = [
        {"item_id": i, "events": 9.0, "lately": 3.0, "until": NOW, "half_life_days": 7.0, "satisfied_rate": 0.5}
        for i in IDS
    ]
    pq.write_table(pa.Table.from_pylist(counters), folder / "counters.parquet")
    popular = [item for item in IDS if item not in HIDDEN]
    for name in ("co_visitation.npz", "ease.npz"):
        SparseRows.empty(len(IDS)).save(folder / name)
    ranked_segments({"": popular[::-1][:30], "user_region=north": popular[:5]}).save(folder / "segment_popular.npz")
    (folder / "spec.json").write_text(SPEC.to_json())
    settings = BundleSettings(
        spec_hash=SPEC.hash,
        boundary="end",
        trained_until=NOW,
        collection=collection_name(IDS, vectors(), available),
        objectives={"engaged": 1.0, "satisfied": 1.0},
        candidates=candidates,
        slate_size=10,
        max_slate_size=50,
        ranker=ranker,
        form=FORM,
    )
    (folder / "bundle.json").write_text(json.dumps(asdict(settings)))
    return Bundle.load(folder)


def write_workspace(root: Path, redis: str = "", ranker: dict[str, Any] | None = None) -> Workspace:
    """A workspace whose current release is the shop, with its golden requests, and whose Feast knows STATES, in sqlite
    or in the Redis at an address."""
    workspace = Workspace(root)
    name = f"shop-{hashlib.sha256(vectors().tobytes()).hexdigest()[:12]}"
    folder = workspace.releases / name
    bundle = write_shop(folder, ranker=ranker)
    golden = [GoldenRequest(s.user_id, 5, NOW, s) for s in (*STATES, UserState("nobody"))]
    write_golden(folder, golden, golden_answers(Recommender.load(bundle, None, None))(golden))
    write_manifest(folder, name, {}, {})
    point(workspace, name)
    states = root / "user_state.parquet"
    pq.write_table(pa.Table.from_pylist([to_row(s, SPEC) for s in STATES]), states)
    publish(states, SPEC, workspace.feast, time.time_ns() // 1_000_000, redis)  # a server tells how old they are
    return workspace
