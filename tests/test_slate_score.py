"""The score of a slate: one order in what training measures and in what is served, whatever the weights."""

import math

import numpy as np
import pytest

from souk.models.rank_quality import ndcg, quality
from souk.serving.ranking import Candidates, Settings, ordered
from souk.serving.request import Request
from souk.slate_score import LEAST, log_chances, log_scores
from tests.rerank_fixtures import NOW, reranker, shop
from tests.test_models_rank_quality import examples

HEADS = {"engaged": [1e-4, 1e-3, 2e-4, 5e-4], "satisfied": [0.1, 0.6, 0.5, 0.3]}
HEADS = {head: np.array(values, np.float32) for head, values in HEADS.items()}


def served(heads, weights, items=None, **rules):
    """A ranking of candidates 0, 1, …, as it is served."""
    count = len(heads["engaged"])
    candidates = Candidates(np.arange(count), None, [""] * count)
    made = reranker(shop(np.eye(count)) if items is None else items, rules)
    return ordered(Request("ann", 2, NOW), candidates, heads, Settings("", weights, count), made)


@pytest.mark.parametrize("engaged", [1e-7, 1.0, 10.0, 12.0, 100.0, 1e6])
@pytest.mark.parametrize("ratio", [0.35, 1.0, 2.0])
def test_the_order_is_that_of_the_chances_whatever_the_scale_of_the_weights(engaged, ratio):
    """A product of powers is 0 for all with the one, and 1 with the other."""
    found = served(HEADS, {"engaged": engaged, "satisfied": engaged * ratio})
    plain = [math.log(one) + ratio * math.log(other) for one, other in zip(*HEADS.values(), strict=True)]
    assert found["ranked"].tolist() == sorted(range(4), key=lambda place: -plain[place])
    assert len(set(found["log_scores"].tolist())) == 4


@pytest.mark.parametrize("scale", [1.0, 30.0, 100.0])
def test_what_training_measures_is_what_is_served(scale):
    found, engaged, satisfied = examples(rows=60)
    rows, logits = np.arange(len(found)), {"engaged": engaged, "satisfied": satisfied}
    told = quality(logits, found, rows, 0.01, {"satisfied": 3.0})
    weights = {head: scale * weight for head, weight in told.weights.items()}
    chances = {head: told.calibration[head].probability(values).astype(np.float32) for head, values in logits.items()}
    scores = np.zeros(engaged.shape)
    for row in rows:
        order = served({head: values[row] for head, values in chances.items()}, weights)["order"]
        scores[row, order] = -np.arange(len(order))
    assert told.metrics["slate_ndcg@10"] == ndcg(scores, found, rows)


def test_re_ranking_holds_large_weights_against_diversity():
    """The first two are alike. Where scores are close that counts, where weights set them apart it does not."""
    items = shop([[1, 0], [1, 0], [0, 1]])
    heads = {"engaged": np.array([0.010, 0.009, 0.008], np.float32)}
    chosen = [served(heads, {"engaged": weight}, items, diversity=0.3)["order"][:2].tolist() for weight in (1, 100)]
    assert chosen == [[0, 2], [0, 1]]


def test_a_chance_of_none_stands_behind_all_others_and_is_still_a_number():
    """As a ranker of one's own may give."""
    logs = log_chances({"engaged": np.array([-0.1, 1e-30, 0.5]), "satisfied": np.array([1.0, 0.0, 1e-30])})
    assert log_scores(logs, {"satisfied": 0.01}).tolist()[:2] == [LEAST, LEAST]
    assert log_scores(logs, {"satisfied": 0.0})[1:].tolist() == np.log([1e-30, 0.5]).tolist()
    assert (np.exp(log_scores(logs, {})) > 0).tolist() == [False, False, True]
    assert log_scores(logs, {"engaged": 0.0, "satisfied": 0.0}).tolist() == [0, 0, 0]
