"""What the steps before `evaluate` would have written for the shop of tests/serving_fixtures.py.

Every user clicks items of one group only, each once, so a model that follows the history is far ahead of popularity.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from souk.config import Deploy, Evaluate, Rerank
from souk.declared import item_features
from souk.index.interface import collection_name
from souk.release.manifest import write_manifest
from souk.schema import DAY_MS
from souk.state import Event, state_of
from souk.state_rows import to_row
from souk.steps.evaluate import evaluate
from tests import serving_fixtures as shop
from tests.sources_fixtures import write_sources

USERS, CLICKS = 48, 12
NOT_LEARNED = {"satisfied": "4 of its labels are known"}  # of `good`
ONE = Deploy(slate_size=1)  # so that `candidates` alone says how many items are ranked
START = 19_000 * DAY_MS
TEST = START + 9 * DAY_MS  # a click a day: nine before the window
END = START + CLICKS * DAY_MS + 1


def histories():
    random = np.random.default_rng(4)
    found = {}
    for number in range(USERS):
        group = [item for item in shop.IDS if item.startswith(f"g{number % shop.GROUPS}") and item not in shop.HIDDEN]
        picked = random.permutation(group)[:CLICKS]
        found[f"u{number:02d}"] = [
            Event(str(item), "click", START + day * DAY_MS + number, event_id=f"e{number:02d}-{day:02d}")
            for day, item in enumerate(picked)
        ]
    return found


def write_tables(folder):
    folder.mkdir(parents=True)
    rows = [
        {"event_id": e.event_id, "user_id": user, "item_id": e.item_id, "event_type": "click", "timestamp": e.timestamp}
        for user, events in histories().items()
        for e in events
    ]
    missing = {"value": None, "dwell_seconds": None, "device": "phone", "basket": None}
    rows = [row | missing for row in sorted(rows, key=lambda row: (row["timestamp"], row["event_id"]))]
    pq.write_table(pa.Table.from_pylist(rows), folder / "events.parquet")
    people = [{"user_id": user, "region": region(user)} for user in histories()]
    pq.write_table(pa.Table.from_pylist(people), folder / "users.parquet")
    return folder


def region(user):
    return ("north", "south")[int(user[1:]) % 2]


def write_features(folder):
    folder.mkdir(parents=True)
    bounds = {"validation_start": TEST - 2 * DAY_MS, "test_start": TEST, "end": END}
    (folder / "spec.json").write_text(shop.SPEC.to_json())
    (folder / "windows.json").write_text(json.dumps(bounds))
    items = [
        {
            **item_features({"item_id": i, "price": shop.PRICES[i], "category": f"all/{i[:2]}"}, shop.SPEC),
            "item_id": i,
            "title": f"Item {i}",
            "available": i not in shop.HIDDEN,
            "created_at": 0,
        }
        for i in shop.IDS
    ]
    pq.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    clicks = [(user, e) for user, events in histories().items() for e in events]
    counters = [
        {"boundary": name, "item_id": item, "events": n, "lately": n, "until": end, "half_life_days": math.inf}
        | {"satisfied_rate": 0.5}
        for name, end in bounds.items()
        for item in shop.IDS
        for n in [sum(e.item_id == item and e.timestamp < end for _, e in clicks)]
    ]
    pq.write_table(pa.Table.from_pylist(counters), folder / "counters.parquet")
    examples = [
        {"event_id": e.event_id, "user_id": u, "item_id": e.item_id, "timestamp": e.timestamp, "satisfied": n % 3 - 1}
        | {feature.name: "" for feature in shop.SPEC.context}
        for n, (u, e) in enumerate(clicks)
    ]
    pq.write_table(pa.Table.from_pylist(examples), folder / "examples.parquet")
    states = [to_row(state_of(u, es, shop.SPEC, {"region": region(u)}), shop.SPEC) for u, es in histories().items()]
    pq.write_table(pa.Table.from_pylist(states), folder / "user_state.parquet")
    write_sources(folder, shop.SPEC)
    (folder / "transform").mkdir()
    (folder / "transform" / "features.json").write_text("{}")
    return folder


def write_models(folder, vectors, seed, candidates=8, **trained):
    """`towers`, `ranker` and `index`; the items are where `vectors` says, and `seed` makes the weights of their own.

    The towers bring the first of the `candidates`; where there are more, so do the other sources. `trained` is what
    the fit of the ranker recorded beside them.
    """
    towers, ranker, index = folder / "towers", folder / "ranker", folder / "index"
    for part in (towers, ranker, index):
        part.mkdir(parents=True)
    shop.save_models(folder / "models")
    for name, target in (("query_tower", towers), ("item_tower", towers), ("ranker", ranker)):
        (folder / "models" / name).rename(target / name)
    np.save(towers / "vectors.npy", vectors)
    for part in (towers, ranker):
        np.savez(part / "weights.npz", kernel=np.random.default_rng(seed).normal(size=3))
    (towers / "training.json").write_text(json.dumps({"history": [{"loss": 2.0, "seconds": 1.0}]}))
    (ranker / "training.json").write_text(json.dumps({"candidates": candidates, "history": [], **trained}))
    available = np.array([item not in shop.HIDDEN for item in shop.IDS])
    (index / "index.json").write_text(json.dumps({"collection": collection_name(shop.IDS, vectors, available)}))
    return towers, ranker, index


def following():
    """Item vectors that follow the history."""
    return shop.vectors()


def misled():
    """Item vectors that stand where those of the next group should."""
    return np.roll(shop.vectors(), shop.SIZE, axis=0)


class Shop:
    """The outputs of all steps before `evaluate` in `root`, for three challengers, and a workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._done = {}
        self.workspace = root / "workspace"
        self.tables, self.features = root / "tables", root / "features"

    def write(self):
        write_tables(self.tables)
        write_features(self.features)
        write_models(self.root / "good", following(), seed=0, not_learned=NOT_LEARNED)
        write_models(self.root / "bad", misled(), seed=1, candidates=1)
        write_models(self.root / "equal", following(), seed=2)
        return self

    def arguments(self, challenger, champion="", settings=None, deploy=None):
        """The arguments of the step, and the folder of its outputs."""
        out = self.root / f"{challenger}-against-{champion or 'none'}"
        settings = settings or Evaluate(bootstrap=200)
        models = [self.root / challenger / part for part in ("towers", "ranker", "index")]
        outputs = [out / name for name in ("twin", "report.html", "summary.md", "evaluation")]
        config = json.dumps(
            {
                "retrievers": {},
                "ranker": None,
                "rerank": Rerank().model_dump(mode="json"),
                "evaluate": settings.model_dump(mode="json"),
                "deploy": (deploy or ONE).model_dump(mode="json"),
            }
        )
        return [config, champion, *map(str, [self.workspace, self.tables, self.features, *models, *outputs])], out

    def evaluate(self, challenger, champion="", settings=None):
        """Runs the step, once for the same arguments; its verdict, metrics and the folder of its outputs."""
        arguments, out = self.arguments(challenger, champion, settings)
        key = tuple(arguments)
        if key not in self._done:
            self._done[key] = (*evaluate(*arguments), out)
        return self._done[key]

    def release(self, challenger, champion=""):
        """Puts a challenger into the workspace as `package_release` and `deploy` do, as far as `evaluate` sees."""
        name = f"{challenger}-after-{champion}" if champion else challenger
        if not (self.workspace / "releases" / name).exists():
            _, _, out = self.evaluate(challenger, champion)
            folder = self.workspace / "releases" / name
            folder.mkdir(parents=True)
            shutil.copytree(out / "twin", folder / "twin")
            shutil.copytree(out / "evaluation", folder / "evaluation")
            write_manifest(folder, name, {}, {})
            (self.workspace / "feast").mkdir(exist_ok=True)
            (self.workspace / "feast" / "registry.db").touch()
        return name
