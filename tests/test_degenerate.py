"""Degenerate data through the real steps: it trains, is judged and packed, or stops with an error that says the remedy.

One small data set for each way in which data can be poor; where two ways can meet in one, they do.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from souk.config import load_config
from souk.errors import SoukError
from souk.steps.build_features import build_features
from souk.steps.evaluate import evaluate
from souk.steps.ingest import ingest
from souk.steps.load_index import load_index
from souk.steps.package_release import package_release
from souk.steps.train_ranker import train_ranker
from souk.steps.train_two_tower import train_two_tower

DAY = 86_400
START = 1_700_006_400
NAMES = [
    "blue lamp",
    "größe, 40",
    'a "quoted" one',
    "boots/red",
    "\u706f 1",
    "it's",
    "semi;colon",
    "tab\tin",
    "#7",
    "-",
]
CONFIG: dict[str, Any] = {
    "name": "poor",
    "data": {
        "events": {"path": "events.csv", "timestamp_unit": "s"},
        "items": {"path": "items.csv"},
        "users": {"path": "users.csv"},
    },
    "columns": {
        "events": {"device": "categorical"},
        "items": {"title": "text", "price": "numeric", "brand": "categorical"},
        "users": {"age": "numeric"},
    },
    "objectives": {
        "engaged": {"events": ["click"]},
        "satisfied": {"events": ["click"], "followed_by": ["purchase"], "within_days": 2},
    },
    "build_features": {"history_length": 8, "text_buckets": 16, "numeric_buckets": 4},
    "train_two_tower": {"dim": 8, "layers": 1, "heads": 1, "epochs": 1, "refresh_epochs": 1, "negatives": 4},
    "train_ranker": {
        "candidates": 10, "negatives": 4, "experts": 1, "hidden": [4], "straight_epochs": 1, "epochs": 1,
        "batch_rows": 4096,
    },
    "evaluate": {"bootstrap": 100},
    "deploy": {"slate_size": 3, "max_slate_size": 5},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """An event; `day` after START, with a fraction."""

    user: str
    item: str
    day: float
    kind: str = "click"
    device: str = "phone"


def clicks(users: list[str], items: list[str], count: int, days: float = 40, seed: int = 1) -> list[Row]:
    """Clicks of any user on any item at any time, half of them followed by a purchase."""
    rng = random.Random(seed)
    rows = [Row(rng.choice(users), rng.choice(items), rng.uniform(0, days)) for _ in range(count)]
    return rows + [Row(row.user, row.item, row.day + 0.1, "purchase") for row in rows[::2]]


def strangers() -> list[Row]:
    """Each user has one day, so that nobody in a window was there before it, and meets no item twice.

    The ids are as strange as ids get, and no event of the test window has a device.
    """
    rng = random.Random(3)
    rows = []
    for day in range(40):
        for user in range(3):
            device = "" if day > 30 else rng.choice(["phone", "desk"])
            items = rng.sample(NAMES, 3)
            rows += [Row(f"é, {day}/{user}", item, day + place / 9, device=device) for place, item in enumerate(items)]
    return rows


EVERYONE = [f"u{number}" for number in range(12)]
TRAINED: dict[str, Callable[[], list[Row]]] = {
    "one item, a user with most events": lambda: clicks(EVERYONE, ["lamp"], 120) + clicks(["big"], ["lamp"], 3000),
    "one user, one item, one act": lambda: [Row("ann", "lamp", day / 3) for day in range(120)],
}


def write(folder: Path, rows: list[Row]) -> Path:
    """The three tables and the config: `price`, `brand` and `age` are the same for all."""
    folder.mkdir()
    for name, header, lines in (
        ("events", "user_id item_id event_type timestamp device",
         [(r.user, r.item, r.kind, START + round(r.day * DAY), r.device) for r in rows]),
        ("items", "item_id title price brand", [(i, f"the {i}", 5.0, "acme") for i in sorted({r.item for r in rows})]),
        ("users", "user_id age", [(u, 30) for u in sorted({r.user for r in rows})]),
    ):  # fmt: skip
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header.split(), *lines])
    path = folder / "poor.yaml"
    path.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return path


class Steps:
    """The steps on one data set, in this process."""

    def __init__(self, folder: Path, rows: list[Row]) -> None:
        self.folder, self.config = folder, load_config(write(folder / "data", rows))
        self.workspace = self.at("workspace")

    def at(self, name: str) -> str:
        return str(self.folder / name)

    def of(self, step: str) -> str:
        return self.config.for_step(step)

    def prepare(self) -> None:
        at = self.at
        ingest(self.of("ingest"), "", self.workspace, at("tables"), at("quarantine"), at("data.html"))
        build_features(self.of("build_features"), self.workspace, "FnApiRunner", "", at("tables"), at("features"))

    def fit(self, window: str, before: str = "") -> None:
        at = self.at
        towers, ranker = at(f"{window}-towers"), at(f"{window}-ranker")
        old = [at(f"{before}-{name}") if before else "" for name in ("towers", "ranker")]
        train_two_tower(self.of("train_two_tower"), window, 0, self.workspace, at("features"), towers, old[0])
        load_index(self.of("load_index"), at("features"), towers, at(f"{window}-index"))
        train_ranker(self.of("train_ranker"), window, self.workspace, at("features"), towers, ranker, old[1])

    def judge(self) -> dict[str, Any]:
        at, twin = self.at, [self.at(f"twin-{name}") for name in ("towers", "ranker", "index")]
        made = [at(name) for name in ("bundle", "report.html", "summary.md", "evaluation")]
        evaluate(self.of("evaluate"), "", self.workspace, at("tables"), at("features"), *twin, *made)
        found: dict[str, Any] = json.loads((self.folder / "evaluation" / "metrics.json").read_text("utf-8"))
        return found

    def package(self) -> Path:
        at, made = self.at, [self.at(f"release-{name}") for name in ("towers", "ranker", "index")]
        inputs = (at("tables"), at("features"), *made, at("bundle"), at("evaluation"))
        package_release(self.of("package_release"), *inputs, at("release"))
        return self.folder / "release"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", TRAINED)
def test_it_trains_and_is_judged(case, tmp_path):
    steps = Steps(tmp_path, TRAINED[case]())
    steps.prepare()
    steps.fit("twin")
    metrics = steps.judge()
    assert (tmp_path / "summary.md").read_text("utf-8")
    ids = pq.read_table(tmp_path / "bundle" / "items.parquet")["item_id"].to_pylist()
    assert sorted(ids) == sorted({row.item for row in TRAINED[case]()}), "as strange as ids get, and whole"
    slate = metrics["protocols"]["rolling"]["models"]["slate"]["ndcg@10"]
    assert 0 < slate["low"] <= slate["mean"] <= slate["high"] <= 1
    verdict = json.loads((tmp_path / "evaluation" / "verdict.json").read_text("utf-8"))
    assert verdict["verdict"] == "reject", "few users prove nothing, and nothing beats popularity at one item"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_strangers_with_strange_ids_a_constant_feature_and_one_missing_in_a_window_become_a_release(tmp_path):
    steps = Steps(tmp_path, strangers())
    steps.prepare()
    assert set(pq.read_table(tmp_path / "tables" / "items.parquet")["item_id"].to_pylist()) == set(NAMES)
    steps.fit("twin")
    asked = steps.judge()["protocols"]["rolling"]
    assert asked["queries"] >= asked["users"] >= asked["slices"]["cold users"]["users"] > 0.9 * asked["users"] > 9
    steps.fit("release", "twin")
    release = steps.package()
    assert set(pq.read_table(release / "items.parquet")["item_id"].to_pylist()) == set(NAMES)


def test_the_same_event_again_and_again_is_refused_with_the_remedy(tmp_path):
    steps = Steps(tmp_path, [Row("ann", "lamp", 3)] * 200)
    with pytest.raises(SoukError, match="1 distinct times"):
        steps.prepare()
