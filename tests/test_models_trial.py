"""Who measures a trial, and by which order."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from souk.errors import SoukError
from souk.models.calibration import Calibration
from souk.models.rank_quality import gains
from souk.models.trial import Reranked, measuring, parted, slate_gains
from souk.schema import DAY_MS
from souk.steps.train_ranker import SLATES, train_ranker
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked
from tests.rerank_fixtures import NOW, reranker, shop
from tests.test_models_rank_quality import examples

WIDTH = 12  # of the lists, which are of items 0 to 11
LINE = Calibration(0.0, (), (1.0,))
AS_RANKED = Reranked(reranker(shop(np.eye(WIDTH)), {}), 20)


def test_a_fifth_of_the_users_measures_whatever_the_order_of_their_rows():
    users = np.repeat([f"u{number}" for number in range(50)], 3)
    others, measured = measuring(users)
    assert len(np.unique(users[measured])) == 10
    assert not set(users[others]) & set(users[measured])
    assert len(others) + len(measured) == len(users)
    shuffled = np.random.default_rng(1).permutation(users)
    assert set(shuffled[measuring(shuffled)[1]]) == set(users[measured])
    assert set(users[measured]) != set(np.unique(users)[:10])  # by no order of the ids


def test_the_users_that_measure_are_so_by_their_own_ids():
    """So that towers and ranker leave out the same ones, though a few users have no examples for one of them."""
    users = np.array([f"u{number}" for number in range(50)])
    others, measured = measuring(users)
    fewer = np.concatenate([users[others][7:], users[measured]])
    assert set(fewer[measuring(fewer)[1]]) < set(users[measured])


@pytest.mark.parametrize(("users", "sizes"), [(["a", "a"], (2, 2)), (["a", "b", "b"], (1, 2))])
def test_as_few_users_as_there_are(users, sizes):
    others, measured = measuring(np.array(users))
    assert sorted((len(others), len(measured))) == sorted(sizes)


def test_measuring_users_without_anything_to_measure_are_told_before_the_fit():
    found = examples(rows=50)[0]
    theirs = measuring(found.users)[1]
    first, newcomer = found.first.copy(), found.newcomer.copy()
    newcomer[theirs[1:]] = True
    fitted, measured = parted(replace(found, newcomer=newcomer))
    assert len(fitted) == 40 and measured.users.tolist() == theirs[:1].tolist(), "newcomers' moments measure nothing"
    newcomer[theirs] = True
    assert parted(replace(found, newcomer=newcomer))[1].users.tolist() == theirs.tolist(), "but where all are so"
    first[theirs] = False
    with pytest.raises(SoukError, match=r"none of 10 users.*Enlarge split\.validation"):
        parted(replace(found, first=first))


def test_slates_are_in_the_order_of_the_weights():
    """The heads know what was taken and what was not; the curve of one is twice as steep."""
    found, engaged, _ = examples(rows=50)
    rows = np.arange(len(found))
    against = np.where(found.chosen, -2.0, 2.0)
    logits, curves = {"engaged": engaged, "satisfied": against}, {"engaged": (0.0, 1.0), "satisfied": (0.0, 2.0)}
    curves = {head: Calibration(offset, (), (slope,)) for head, (offset, slope) in curves.items()}
    chances = {head: -np.log1p(np.exp(-curves[head].slopes[0] * logits[head])) for head in logits}
    for one, other in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.3), (2.0, 1.0)):
        expected = gains(
            one * chances["engaged"] + other * chances["satisfied"], found, rows, found.chosen, found.taken
        )
        told = slate_gains(logits, curves, {"engaged": one, "satisfied": other}, AS_RANKED, found, rows)
        np.testing.assert_allclose(told, expected)
    best, worst = (slate_gains(logits, curves, {head: 1.0}, AS_RANKED, found, rows).mean() for head in logits)
    assert best > 0.95 > 0.3 > worst


def first_of_each_seller(order):
    return [next(item for item in order if item // 4 == seller) for seller in (0, 1, 2)]


@pytest.mark.parametrize(
    ("rules", "time", "shown", "bends"),
    [
        ({"caps": {"seller_id": 1}}, NOW, first_of_each_seller, True),
        ({"new_items": {"share": 1.0, "days": 7}}, NOW, lambda order: [0, 1, 2], True),
        ({"new_items": {"share": 1.0, "days": 7}}, NOW + 30 * DAY_MS, lambda order: order[:3], False),
        ({}, NOW, lambda order: order[:3], False),
    ],
)
def test_slates_are_re_ranked_as_they_would_be_served(rules, time, shown, bends):
    """Three sellers have four items each, and three items are new: the slate of three shows a set, in ranked order."""
    found, engaged, _ = examples(rows=40)
    found, rows = replace(found, times=np.full(40, time)), np.arange(40)
    values = [np.arange(WIDTH) // 4] if "caps" in rules else None
    items = shop(np.eye(WIDTH), ages=[1] * 3 + [90] * 9)
    rerank = Reranked(reranker(items, rules, values), 3)
    expected = np.zeros((40, WIDTH))
    for line, scores in zip(expected, engaged, strict=True):
        order = np.argsort(-scores, kind="stable").tolist()
        first = sorted(shown(order), key=order.index)
        line[first + [item for item in order if item not in first]] = -np.arange(WIDTH)
    told, plain = (
        slate_gains({"engaged": engaged}, {"engaged": LINE}, {"engaged": 1.0}, made, found, rows)
        for made in (rerank, AS_RANKED)
    )
    np.testing.assert_allclose(told, gains(expected, found, rows, found.chosen, found.taken))
    assert (told != plain).any() == bends


@pytest.mark.slow
def test_a_trial_is_fitted_on_others_than_those_that_measure_it_and_its_slates_are_re_ranked(tmp_path, monkeypatch):
    """What satisfied the users that measure is turned round: the weights are the same to the bit.

    Without any weight in the order of slates all scores are the same, and retrieval's order stays."""
    features, towers = tmp_path / "features", tmp_path / "towers"
    ranked = Ranked(features, *cycle_market(users=60))
    monkeypatch.setattr("souk.steps.train_ranker.load_transform", lambda _, entity: ranked.transforms[str(entity)])
    monkeypatch.setattr("souk.models.fit_ranker.STRAIGHT_RATE", 1e-4)  # or the first place is right in any order
    towers.mkdir()
    np.save(towers / "candidate_vectors.npy", ranked.vectors)
    config = CONFIG.model_copy(update={"candidates": 12, "straight_epochs": 1, "epochs": 0})
    table, found = pq.read_table(features / "candidates.parquet"), {}
    theirs = measuring(table["user_id"].to_numpy())[1]
    for name, diversity in (("as it is", 0.0), ("turned", 0.9), ("flat", 0.0)):
        if name == "flat":
            spec = json.loads((features / "spec.json").read_text())
            spec["objectives"] = {head: rule | {"weight": 0.0} for head, rule in spec["objectives"].items()}
            (features / "spec.json").write_text(json.dumps(spec))
        pq.write_table(table, towers / "candidates.parquet")
        plugs = {"retrievers": {}, "ranker": None}
        served = {"name": "", **plugs, "rerank": {"diversity": diversity}, "deploy": {"slate_size": 3}}
        given = (json.dumps({"train_ranker": config.model_dump(mode="json")}), "trial", str(tmp_path / "ws"))
        train_ranker(*given, str(features), str(towers), str(tmp_path / name), served=json.dumps(served))
        weights = np.load(tmp_path / name / "weights.npz")
        found[name] = {key: weights[key] for key in weights}, pq.read_table(tmp_path / name / SLATES)
        labels = table["satisfied"].to_numpy().copy()
        labels[theirs] = np.where(labels[theirs] < 0, -1, 1 - labels[theirs])
        table = table.set_column(table.column_names.index("satisfied"), "satisfied", [labels])
    (weights, plain), (again, diverse), (_, flat) = found.values()
    assert weights.keys() == again.keys()
    assert all(np.array_equal(weights[key], again[key]) for key in weights)
    assert plain["user_id"] == diverse["user_id"] == flat["user_id"]
    assert plain["ndcg@10"] != diverse["ndcg@10"] and plain["ndcg@10"] != flat["ndcg@10"]
