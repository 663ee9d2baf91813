"""What LightGBM is given beside the ranker: the same candidates, features, labels and held-out users."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality import ranker_features
from benchmarks.ranker import beside, export, means
from benchmarks.rerank import Lists, rare_items, relative, rows
from souk.config import Rerank
from souk.models.held_out import split_users
from souk.pairs import PAIR_FEATURES
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import Ranked
from tests.rerank_fixtures import reranker, shop


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


def lists(users, right):
    """Lists of eleven items, the first one popular; of each moment whose it is, and which item was taken."""
    count = len(users)
    return Lists(
        reranker=reranker(shop(np.eye(11), events=[10] + [0] * 10), {}),
        popular=np.arange(11) == 0,
        available=11,
        users=np.array(users),
        positions=[np.arange(11)] * count,
        log_scores=[np.log(np.linspace(0.6, 0.5, 11))] * count,
        taken=[np.arange(11) == item for item in right],
        best=np.ones(count),
        time=0,
    )


def test_controls_are_priced_by_user():
    """A user with 99 moments counts as one with a single moment does."""
    ndcg, *_ = lists([0] + [1] * 99, [0] + [1] * 99).measure(Rerank())
    np.testing.assert_allclose(ndcg, [1, 1 / np.log2(3)])


def test_moments_of_the_same_users_make_no_interval_narrower():
    users, right = [0, 0, 1, 2, 3, 4], [0, 1, 1, 0, 0, 1]
    once, tenfold = (rows(lists(users * n, right * n), [{}, {"popularity": 1.0}]) for n in (1, 10))
    for own, other in zip(once, tenfold, strict=True):
        assert own | {"ms": ""} == other | {"ms": ""}
    assert once[1]["low"] != once[1]["high"]


def test_the_interval_of_a_change_has_the_error_of_what_it_is_a_part_of():
    """Each user loses half: whoever is drawn, that is half."""
    base = np.array([0.1, 0.9, 0.3, 1.0])
    change = relative(base / 2, base)
    np.testing.assert_allclose((change.mean, change.low, change.high), -0.5)
