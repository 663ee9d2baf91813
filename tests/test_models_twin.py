"""The gate compares twins: what a twin's towers and ranker are has nothing of the test window in it."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from souk.config import TrainTwoTower
from souk.steps.train_ranker import train_ranker
from souk.steps.train_two_tower import train_two_tower
from tests.models_fixtures import cycle_market, cycle_spec, write_features
from tests.ranker_fixtures import CONFIG

TOWERS = TrainTwoTower(dim=4, layers=0, heads=1, epochs=1, refresh_epochs=1, batch_rows=64, negatives=8, consistency=0)
RANKER = CONFIG.model_copy(update={"candidates": 12, "straight_epochs": 1, "epochs": 0})


class World:
    """A small market; `other` has another test window, and what becomes known there of earlier events is otherwise."""

    def __init__(self, folder, other):
        self.folder, self.features = folder, folder / "features"
        events, items, users = cycle_market(users=18)
        self.transforms = write_features(self.features, cycle_spec(), events, items, users)
        windows = json.loads((self.features / "windows.json").read_text())
        if other:
            late = events["timestamp"] >= windows["test_start"]
            events.loc[late, ["item_id", "value"]] = ("i00", 1.0)
            write_features(self.features, cycle_spec(), events, items, users)
        examples = pd.read_parquet(self.features / "examples.parquet")
        known_later = (examples["timestamp"] >= windows["validation_start"]) & (examples.index % 3 == 0)
        examples.loc[known_later, "satisfied_at"] = windows["test_start"]
        examples.loc[known_later, "satisfied"] = int(other)
        examples.to_parquet(self.features / "examples.parquet", index=False)

    def train(self, patch):
        for step in ("train_two_tower", "train_ranker"):
            patch.setattr(f"souk.steps.{step}.load_transform", lambda _, entity: self.transforms[str(entity)])
        workspace, features, towers, ranker = (
            str(self.folder / name) for name in ("workspace", "features", "towers", "ranker")
        )
        config = json.dumps({"train_two_tower": TOWERS.model_dump(mode="json")})
        train_two_tower(config, "twin", 0, workspace, features, towers)
        config = json.dumps({"train_ranker": RANKER.model_dump(mode="json")})
        train_ranker(config, "twin", workspace, features, towers, ranker)

    def arrays(self, *names):
        found = (np.load(self.folder / name) for name in names)
        return [array for each in found for array in (each.values() if hasattr(each, "values") else [each])]


@pytest.mark.slow
def test_the_test_window_changes_nothing_of_a_twin(tmp_path, monkeypatch):
    """To the bit. What is exported is made of these weights: the export, which takes the time, is left out."""
    for name in ("ServedQueryTower", "ServedItemTower", "ServedRanker"):
        monkeypatch.setattr(f"souk.models.export.{name}.save", lambda *given: None)
    monkeypatch.setattr("souk.models.fit_ranker.LEAST_STEPS", 1)
    monkeypatch.setattr("souk.models.fit_level.STEPS", 1)
    worlds = [World(tmp_path / name, name == "other") for name in ("one", "other")]
    for world in worlds:
        world.train(monkeypatch)
    made = ("vectors.npy", "weights.npz", "candidate_vectors.npy", "candidate_queries.npy")
    one, other = (world.arrays(*(f"towers/{name}" for name in made)) for world in worlds)
    assert all(map(np.array_equal, one, other)), "the towers"
    one, other = (pq.read_table(world.folder / "towers" / "candidates.parquet") for world in worlds)
    assert one["satisfied"] != other["satisfied"], "there are labels that become known in the test window"
    assert one.drop(["satisfied", "moment"]) == other.drop(["satisfied", "moment"]), "the candidates"
    one, other = (world.arrays("ranker/weights.npz") for world in worlds)
    assert all(map(np.array_equal, one, other)), "the ranker"
    one, other = (json.loads((world.folder / "ranker" / "training.json").read_text()) for world in worlds)
    for name in ("examples", "calibration", "objectives", "pareto", "not_learned"):
        assert one[name] == other[name], name
    assert one["not_learned"] == {}
    assert one["settings"] == RANKER.model_dump(mode="json")
    towers = json.loads((worlds[0].folder / "towers" / "training.json").read_text())
    assert towers["settings"] == TOWERS.model_dump(mode="json") | {"epochs": 1}
    history = towers["history"]
    assert [epoch.get("refresh") for epoch in history] == [None, 1.0], "what the report draws a line between"


@pytest.mark.slow
def test_a_release_leans_as_its_twin_or_by_the_number_of_its_config(tmp_path, monkeypatch):
    for name in ("ServedQueryTower", "ServedItemTower"):
        monkeypatch.setattr(f"souk.models.export.{name}.save", lambda *given: None)
    monkeypatch.setattr("souk.models.lean.LEANS", ((0.15, 0.95), (0.0, 1.0)))
    world = World(tmp_path, other=False)
    monkeypatch.setattr("souk.steps.train_two_tower.load_transform", lambda _, entity: world.transforms[str(entity)])

    def trained(window, lean, previous=""):
        config = {"train_two_tower": TOWERS.model_copy(update={"new_item_lean": lean}).model_dump(mode="json")}
        towers = str(tmp_path / f"{window}-{lean}")
        given = (str(tmp_path / "workspace"), str(world.features), towers, previous)
        train_two_tower(json.dumps(config), window, 0, *given)
        training = json.loads((tmp_path / f"{window}-{lean}" / "training.json").read_text())
        told, weights = (training["new_item_lean"], training["new_item_length"]), np.load(f"{towers}/weights.npz")
        assert tuple(weights[f"two_tower/item_tower/{name}"] for name in ("lean", "length")) == pytest.approx(told)
        return towers, told

    monkeypatch.setattr("souk.models.lean.KEPT", 0.0)
    twin, chosen = trained("twin", "auto")
    assert chosen == pytest.approx((0.15, 0.95))
    assert trained("release", "auto", twin)[1] == pytest.approx((0.15, 0.95))
    assert trained("release", 0.25, twin)[1] == pytest.approx((0.25, 1))
