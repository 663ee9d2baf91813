"""What LightGBM is given beside the ranker: the same candidates, features, labels and held-out users."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality import ranker_features
from benchmarks.ranker import beside, export, means
from benchmarks.rerank import rare_items
from souk.models.held_out import split_users
from souk.pairs import PAIR_FEATURES
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import Ranked


def test_the_peer_sees_what_the_ranker_does(tmp_path, monkeypatch):
    world = Ranked(tmp_path / "features", *cycle_market(users=12))
    np.save(world.folder / "candidate_vectors.npy", world.vectors)
    monkeypatch.setattr(ranker_features, "load_transform", lambda _, entity: world.transforms[entity])
    export(world.folder, world.folder, 5, 2, tmp_path)
    examples = world.examples(count=5)
    engaged, satisfied = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("engaged", "satisfied"))
    moments = np.flatnonzero(examples.first)
    row, column = np.nonzero(examples.candidate[moments])
    names = engaged["names"].tolist()
    assert engaged["features"].shape == (len(row), len(names))
    assert not {"category:user_id", "category:item_id"} & set(names) and "category:user_country" in names
    for place, name in enumerate(PAIR_FEATURES):
        np.testing.assert_array_equal(engaged["features"][:, place], examples.pair[moments[row], column, place], name)
    np.testing.assert_array_equal(engaged["labels"], examples.chosen[moments[row], column])
    np.testing.assert_array_equal(np.diff(engaged["start"]), examples.candidate[moments].sum(axis=1))
    assert engaged["users"].tolist() == examples.users[moments].tolist()
    assert engaged["wanted"].sum() == len(examples), "what retrieval missed too"
    assert satisfied["labels"].tolist() == examples.labels["satisfied"].tolist(), (
        "engaged items that were no candidates too"
    )
    own = examples.pair[np.arange(len(examples)), examples.own, 0]
    np.testing.assert_array_equal(satisfied["features"][:, 0], own)
    for seed, users in enumerate(json.loads((tmp_path / "held_out.json").read_text())):
        assert set(users) == set(examples.users[split_users(examples.users, seed)[1]])


def test_figures_stand_beside_each_other(tmp_path, monkeypatch):
    """A peer that answers with lines of JSON among others."""
    peer = tmp_path / "python"
    peer.write_text("#!/bin/sh\necho warming up\necho '{\"ndcg@10\": 0.25}'\necho '{\"ndcg@10\": 0.75}'\n")
    peer.chmod(0o755)
    monkeypatch.setattr("benchmarks.ranker.export", lambda *_: None)
    told = [{"ndcg@10": 0.5, "judgement": 1.0}, {"ndcg@10": 0.7, "judgement": float("nan")}]
    found = beside(5, tmp_path, tmp_path, str(peer), told)
    assert found == {"ndcg@10": {"souk": 0.6, "lightgbm": 0.5, "souk - lightgbm": [0.25, -0.05]}}
    assert means(told) == {"ndcg@10": 0.6, "judgement": 1.0}


def test_rare_items_have_a_value_that_few_of_the_taken_have(tmp_path):
    goods = {"item_id": ["a", "b", "c", "d"], "item_genres": [["drama"], ["drama", "western"], [], ["opera"]]}
    goods["item_brand"] = ["x", "y", "", None]
    pq.write_table(pa.table(goods), tmp_path / "items.parquet")
    taken = [{"item_id": item} for item in ["a"] * 19 + ["b"] + ["c"] * 5]
    pq.write_table(pa.table({"moment": [taken[:9], [], taken[9:]]}), tmp_path / "candidates.parquet")
    assert rare_items(tmp_path, tmp_path, "item_genres").tolist() == [False, True, False, False], "opera: never taken"
    assert rare_items(tmp_path, tmp_path, "item_brand").tolist() == [False, True, False, False]
