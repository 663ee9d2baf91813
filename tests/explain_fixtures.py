"""A small trained release whose reasons are known by construction.

Items stand in a ring. After an event comes the next item of the ring, whatever came before it: a user jumps to any item
every other event, so the events before the last say nothing. Nobody's country, and no item's, matters.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import BuildFeatures, Columns, TrainRanker, TrainTwoTower
from souk.index.interface import collection_name
from souk.items import ItemTable
from souk.models.draw import draw_examples
from souk.models.export import ServedItemTower, ServedQueryTower, ServedRanker
from souk.models.fit_ranker import fit_ranker
from souk.models.fit_towers import TowerFit, new_towers
from souk.models.inputs import read_transformed
from souk.models.rank_examples import read_rank_examples
from souk.models.rank_lists import rank_lists
from souk.models.rank_scoring import new_ranker, spread_of
from souk.models.ranker import Ranker
from souk.models.retrieve import item_vectors, query_vectors, write_candidates
from souk.models.sequences import Sequences, read_catalogue
from souk.models.towers import TowerShape
from souk.release.bundle import Bundle, write_bundle
from souk.release.golden import GoldenRequest, write_golden
from souk.release.manifest import write_manifest
from souk.release.pointer import point
from souk.schema import DAY_MS
from souk.serving.recommender import Recommender
from souk.serving.served import golden_answers
from souk.spec import FeatureSpec
from souk.state import Event, UserState, state_of
from souk.state_rows import to_row
from souk.store.publish import publish
from souk.workspace import Workspace
from tests.models_fixtures import cycle_spec, write_features

RING, USERS, EVENTS = 12, 48, 24
START = 20_000 * DAY_MS
END = START + EVENTS * DAY_MS
TOWERS = TrainTwoTower(
    dim=16, layers=1, heads=2, dropout=0.0, epochs=8, batch_rows=16, negatives=8, learning_rate=1e-2, consistency=0
)
RANKER = TrainRanker(candidates=10, negatives=8, epochs=2, batch_rows=32, hidden=(16,), cross_layers=1, dropout=0.0)


MATCHES = [["user_country", "item_made_in"], ["context_from", "item_made_in"]]


def ring_spec() -> FeatureSpec:
    """The spec of the ring: a column of users and one of visits speak of the same as one of the items."""
    items = {"category": "path", "price": "numeric", "made_in": "categorical"}
    given = {"items": items, "users": {"country": "categorical"}, "events": {"from": "categorical"}}
    return cycle_spec(columns=Columns.model_validate(given), build=BuildFeatures(history_length=8, matches=MATCHES))


def item(place: int) -> str:
    return f"i{place % RING:02d}"


def ring_market() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Events, items and users."""
    random, events = np.random.default_rng(7), []
    for user in range(USERS):
        places: list[int] = []
        for n in range(EVENTS):
            places.append(places[-1] + 1 if n % 2 else int(random.integers(RING)))
        events += [
            {"event_id": f"{user:03d}-{n:03d}", "user_id": f"u{user:03d}", "item_id": item(place)}
            | {"event_type": "rating", "timestamp": START + n * DAY_MS + user * 60_000, "value": 5.0}
            | {"from": "abc"[n % 3]}
            for n, place in enumerate(places)
        ]
    goods = [
        {"item_id": item(i), "category": f"shelf/{i % 3}", "price": float(1 + i % 4), "title": f"Item {i}"}
        | {"created_at": None, "made_in": "aabbc"[i % 5]}
        for i in range(RING)
    ]
    people = [{"user_id": f"u{user:03d}", "country": "ab"[user % 2]} for user in range(USERS)]
    return pd.DataFrame(events), pd.DataFrame(goods), pd.DataFrame(people)


def history(user: str, places: list[int], now: int = END) -> UserState:
    """A user who rated the items at `places`, a day apart, the last one a day before `now`."""
    events = [
        Event(item(place), "rating", now - (len(places) - n) * DAY_MS, 5.0, f"{user}-{n}")
        for n, place in enumerate(places)
    ]
    return state_of(user, events, ring_spec(), {"country": "a"})


def write_ring(root: Path) -> Workspace:
    """A workspace whose current release was trained on the ring, and whose store knows user u000."""
    features, spec = root / "features", ring_spec()
    transforms = write_features(features, spec, *ring_market())
    catalogue = read_catalogue(features, spec, transforms["item"])
    sequences = Sequences.open(features, spec, transforms, catalogue.ids)
    shape = TowerShape(read_transformed(features), spec.history_length)
    windows = json.loads((features / "windows.json").read_text())
    window = windows["validation_start"], windows["test_start"]
    keras.utils.set_random_seed(1)
    towers = new_towers(TOWERS, sequences, catalogue, shape)
    TowerFit(towers, sequences, catalogue, TOWERS).fit(window[0], TOWERS.epochs, lambda _: None)
    vectors = item_vectors(towers, catalogue)
    path, drawn = root / "candidates.parquet", draw_examples(features, *window, 0)
    queries = query_vectors(towers, sequences, *window)
    write_candidates(path, features, "validation_start", drawn, queries, vectors, catalogue, sequences)
    items = ItemTable.load(features, "validation_start", vectors)
    examples = read_rank_examples(path, sequences, items, window, RANKER.candidates)
    ranker = new_ranker(Ranker(shape, RANKER, spec.objectives.given), examples, catalogue)
    weights = np.ones(examples.positions.shape, np.float32)
    lists = rank_lists(examples, spread_of(ranker, examples), weights, debias=False)
    fit = fit_ranker(ranker, lists, catalogue, RANKER, lambda _: None)
    ServedQueryTower(towers, transforms, spec).save(root / "towers" / "query_tower")
    ServedItemTower(towers, transforms, spec).save(root / "towers" / "item_tower")
    np.save(root / "towers" / "vectors.npy", vectors)
    ServedRanker(ranker, transforms, spec, fit.quality.calibration, True).save(root / "ranker" / "ranker")
    training = {"candidates": RANKER.candidates, "objectives": {"engaged": 1.0, "satisfied": 0.5}}
    (root / "ranker" / "training.json").write_text(json.dumps(training))
    return _deployed(root, vectors, spec)


def _deployed(root: Path, vectors: np.ndarray, spec: FeatureSpec) -> Workspace:
    workspace = Workspace(root / "workspace")
    name = f"ring-{hashlib.sha256(vectors.tobytes()).hexdigest()[:12]}"
    folder = workspace.releases / name
    ids = [item(place) for place in range(RING)]
    collection = collection_name(ids, vectors, np.ones(RING, bool))
    bundle: Bundle = write_bundle(folder, root / "features", root / "towers", root / "ranker", "end", collection)
    golden = [GoldenRequest("u000", 5, END, history("u000", [3, 4, 8]))]
    write_golden(folder, golden, golden_answers(Recommender.load(replace(bundle, name=name), None, None))(golden))
    write_manifest(folder, name, {}, {})
    point(workspace, name)
    states = root / "states.parquet"
    pq.write_table(pa.Table.from_pylist([to_row(history("u000", [3, 4, 8]), spec)]), states)
    publish(states, spec, workspace.feast, END)
    return workspace
