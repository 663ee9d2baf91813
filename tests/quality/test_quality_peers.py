"""The peers that need packages which Souk does not have: `make bench-quality-test` runs these in their environment.

Every user goes round the same ring of items, so the next item is known.
"""

import os

import numpy as np
import pytest

os.environ["TF_USE_LEGACY_KERAS"] = "1"

from benchmarks.quality import ranker_peer
from benchmarks.quality.factors import Als, Bpr
from benchmarks.quality.interactions import NONE, Histories, Interactions
from benchmarks.quality.lambdamart import Candidates, LambdaMart, fit
from benchmarks.quality.peers import PEERS
from benchmarks.quality.sasrec import SasRec
from benchmarks.quality.two_tower import TutorialTwoTower
from tests.quality_fixtures import END, asked, old_and_new, past_of, query_of

ITEMS = 12


@pytest.fixture(scope="module")
def ring():
    """Sixty users, ten steps round a ring of ITEMS each."""
    return past_of([(f"u{u:02d}", (u + n) % ITEMS, 20 - n) for u in range(60) for n in range(10)], ITEMS)


@pytest.fixture(scope="module")
def halves():
    """Users of even items and users of odd ones."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u:02d}", 2 * int(i) + u % 2, 5) for u in range(60) for i in rng.permutation(6)[:4]]
    return past_of(rows, ITEMS)


@pytest.mark.parametrize("settings", [{"negatives": 0}, {"negatives": 24, "layers": "ligr"}])
def test_sasrec_learns_what_comes_next(ring, settings):
    queries, histories = asked([(3, 3), (4, 2), (5, 1)], [(10, 3), (11, 2), (0, 1)])
    model = SasRec(
        ring, histories, length=10, factors=16, heads=1, batch=16, learning_rate=1e-2, dropout=0.0, **settings
    )
    [(_, early), (epochs, late)] = [(count, each.score(queries)) for count, each in model.stages((1, 40))]
    assert epochs == 40
    assert late.argmax(axis=1).tolist() == [6, 1]
    assert not np.allclose(early, late)


def test_sasrec_puts_items_without_events_last(ring):
    queries, histories = asked([(3, 1)], [])
    wider = Interactions(ring.users, ring.items, ring.times, ring.names, ITEMS + 2, ring.end)
    [(_, model)] = SasRec(wider, histories, length=10, factors=16, heads=1).stages((1,))
    scores = model.score(queries)
    assert scores.shape == (2, ITEMS + 2)
    assert (scores[:, ITEMS:] < scores[:, :ITEMS].min()).all()


def test_some_setting_of_als_sees_how_old_its_data_is():
    past, lamp, old, new = old_and_new()
    queries, histories = asked([(lamp, 0.1)])
    [peer] = [peer for peer in PEERS if peer.name == "als"]
    [first] = peer.trials(1, seed=0)
    ages = peer.space["age"]
    scores = [peer.load()(past, histories, **{**first, "age": age}).score(queries)[0] for age in ages]
    assert first["age"] == ages[0] == NONE and scores[0][old] > scores[0][new]
    assert any(each[new] > each[old] for each in scores)


@pytest.mark.parametrize("peer", [Als, Bpr])
def test_factors_know_the_user_s_half_from_the_history(halves, peer):
    queries, histories = asked([(0, 2), (2, 1)], [(1, 2), (5, 1)])
    settings = {"iterations": 200, "learning_rate": 0.1} if peer is Bpr else {}
    scores = peer(halves, histories, factors=8, **settings).score(queries)
    for row, own in enumerate((slice(0, ITEMS, 2), slice(1, ITEMS, 2))):
        assert scores[row, own].mean() > scores[row, 1 - row :: 2].mean() + 0.1


def test_the_tutorial_s_model_knows_its_users(halves):
    queries = [query_of("u00", []), query_of("u01", []), query_of("nobody", [])]
    model = TutorialTwoTower(halves, Histories({}), batch=64)
    [(_, fitted)] = model.stages((40,))
    scores = fitted.score(queries)
    assert scores.shape == (3, ITEMS)
    for row in (0, 1):
        assert scores[row, row::2].mean() > scores[row, 1 - row :: 2].mean()


def test_lambdamart_orders_candidates_by_what_was_taken():
    """The second feature says what is taken, the first nothing."""
    rng = np.random.default_rng(1)
    moments, width = 80, 10
    features = rng.random((moments * width, 2)).astype(np.float32)
    taken = (
        features[:, 1].reshape(moments, width) == features[:, 1].reshape(moments, width).max(axis=1)[:, None]
    ).ravel()
    items = np.tile(np.arange(width), moments)
    keys = tuple((f"u{n:02d}", END) for n in range(moments))
    start = np.arange(moments + 1) * width
    candidates = Candidates(features, ("noise", "signal"), items, taken.astype(np.int8), start, keys)
    booster, value = fit(candidates, {"min_data_in_leaf": 5, "num_leaves": 7}, seed=0)
    assert value > 0.9
    scorer = LambdaMart(candidates, booster, size=ITEMS)
    queries = [query_of(user, [], now=time) for user, time in keys[:20]]
    scores = scorer.score(queries)
    best = features[:200, 1].reshape(20, width).argmax(axis=1)
    assert (scores.argmax(axis=1) == best).mean() > 0.9
    assert (scores[:, width:] < scores[:, :width].min()).all()
    assert not scorer.knows(query_of("nobody", [], now=END))


def test_lightgbm_beside_the_ranker_stops_on_its_users_and_learns_what_can_be_learned():
    """Of eight candidates the one with the highest first column is taken; one moment in four retrieved none."""
    random = np.random.default_rng(0)
    moments, width = 400, 8
    features = random.normal(size=(moments, width, 2)).astype(np.float32)
    features[:, :, 1] = 1
    taken = np.arange(width) == features[:, :, 0].argmax(axis=1)[:, None]
    taken[::4] = False
    data = {
        "features": features.reshape(-1, 2),
        "labels": taken.reshape(-1),
        "start": np.arange(moments + 1) * width,
        "names": np.array(["score", "category:user_country"]),
        "wanted": np.ones(moments, np.int64),
    }
    held = np.arange(moments) % 5 == 0
    missed = (~taken.any(axis=1))[held].mean()
    assert 0.9 * (1 - missed) < ranker_peer.order(data, held, seed=0) <= 1 - missed
    found = ranker_peer.probabilities(data, np.repeat(held, width), "engaged", seed=0)
    assert found["engaged_auc"] > 0.85 and 0 < found["engaged_log_loss"] < 0.3


def test_ndcg_of_a_list_by_hand():
    scores, taken = np.array([0.1, 0.9, 0.5]), np.array([1, 0, 1])
    ideal = 1 + 1 / np.log2(3)
    assert ranker_peer.ndcg(scores, taken, 2) == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / ideal)
    assert ranker_peer.ndcg(scores, taken, 30) < ranker_peer.ndcg(scores, taken, 2)
