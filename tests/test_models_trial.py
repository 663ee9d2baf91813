"""Who measures a trial, and by which order."""

from dataclasses import replace

import numpy as np
import pytest

from souk.models.calibration import Calibration
from souk.models.rank_quality import gains
from souk.models.trial import MEASURED, Reranked, measuring, slate_gains
from souk.schema import DAY_MS
from tests.rerank_fixtures import NOW, reranker, shop
from tests.test_models_rank_quality import examples

WIDTH = 12  # of the lists, which are of items 0 to 11
LINE = Calibration(0.0, (), (1.0,))
AS_RANKED = Reranked(reranker(shop(np.eye(WIDTH)), {}), 20)


def test_a_fifth_of_the_users_measures_whatever_the_order_of_their_rows():
    users = np.repeat([f"u{number}" for number in range(50)], 3)
    others, measured = measuring(users)
    assert len(np.unique(users[measured])) == MEASURED * 50
    assert not set(users[others]) & set(users[measured])
    assert len(others) + len(measured) == len(users)
    shuffled = np.random.default_rng(1).permutation(users)
    assert set(shuffled[measuring(shuffled)[1]]) == set(users[measured])
    assert set(users[measured]) != set(np.unique(users)[:10])  # by no order of the ids


@pytest.mark.parametrize(("users", "sizes"), [(["a", "a"], (2, 2)), (["a", "b", "b"], (1, 2))])
def test_as_few_users_as_there_are(users, sizes):
    others, measured = measuring(np.array(users))
    assert sorted((len(others), len(measured))) == sorted(sizes)


def test_slates_are_in_the_order_of_the_weights():
    """The heads know what was taken and what was not; the curve of one is twice as steep."""
    found, engaged, _ = examples(rows=50)
    rows = np.arange(len(found))
    against = np.where(found.chosen, -2.0, 2.0)
    logits, curves = {"engaged": engaged, "satisfied": against}, {"engaged": (0.0, 1.0), "satisfied": (0.0, 2.0)}
    curves = {head: Calibration(offset, (), (slope,)) for head, (offset, slope) in curves.items()}
    chances = {head: -np.log1p(np.exp(-curves[head].slopes[0] * logits[head])) for head in logits}
    for one, other in ((1.0, 0.0), (0.0, 1.0), (1.0, 0.3), (2.0, 1.0)):
        expected = gains(one * chances["engaged"] + other * chances["satisfied"], found, rows, found.chosen)
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
    np.testing.assert_allclose(told, gains(expected, found, rows, found.chosen))
    assert (told != plain).any() == bends
