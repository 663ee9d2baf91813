"""The order of what a user came to before and that of the rest: each has weights of its own."""

import math
from dataclasses import replace

import numpy as np
import pytest

from souk.models.fit_ranker import fit_ranker
from souk.models.held_out import split_users
from souk.models.rank_quality import ndcg
from souk.models.rank_scoring import scoring
from souk.models.ranker import PAST_EVENTS
from souk.pairs import PAIR_FEATURES
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked

AGAIN, POPULAR = (PAIR_FEATURES.index(name) for name in ("again", "popularity"))


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    return Ranked(tmp_path_factory.mktemp("familiar"), *cycle_market(users=60))


def opposed(examples, seed=0):
    """Half of the candidates are familiar. Of these the least popular is taken, of the rest the most popular."""
    random = np.random.default_rng(seed)
    shape = examples.candidate.shape
    familiar = random.random(shape) < 0.5
    popular = random.random(shape).astype(np.float32)
    pair = np.zeros_like(examples.pair)
    pair[..., AGAIN], pair[..., PAST_EVENTS] = familiar, familiar * np.log1p(random.integers(1, 4, shape))
    pair[..., POPULAR] = popular
    liking = np.where(familiar, -popular, popular)
    chosen = np.zeros(shape, bool)
    for of in (familiar, ~familiar):
        best = np.where(examples.candidate & of, liking, -np.inf).argmax(axis=1)
        chosen[np.arange(len(best)), best] = True
    chosen &= examples.candidate
    return replace(
        examples, pair=pair, chosen=chosen, own=chosen.argmax(axis=1), taken=chosen.sum(axis=1),
        first=np.ones(len(examples), bool),
    ), familiar  # fmt: skip


def orders(ranked, data, model, examples, familiar):
    """NDCG@10 of held-out users, of what is familiar and of what is new, each among its like."""
    rows = split_users(examples.users, CONFIG.seed)[1]
    order = scoring(model, ranked.catalogue, False)(data, rows)["order"]
    found = []
    for of in (familiar, ~familiar):
        alike = replace(examples, candidate=examples.candidate & of, taken=(examples.chosen & of).sum(axis=1))
        found.append(ndcg(order, alike, rows))
    return found


@pytest.mark.slow
def test_what_draws_a_user_back_may_be_what_keeps_others_away(ranked):
    examples, familiar = opposed(ranked.examples())
    model = ranked.ranker(examples)
    data = ranked.lists(model, examples)
    straight = CONFIG.model_copy(update={"epochs": 0, "straight_epochs": 20})
    fit_ranker(model, data, ranked.catalogue, straight, lambda text: None)
    assert min(orders(ranked, data, model, examples, familiar)) > 0.9
    model.familiar.set_weights([np.zeros_like(weight) for weight in model.familiar.get_weights()])
    assert min(orders(ranked, data, model, examples, familiar)) < 0.7, "one set of weights cannot say both"


def test_nothing_is_familiar_where_nothing_repeats(ranked):
    examples = ranked.examples()
    pair = examples.pair.copy()
    pair[..., PAST_EVENTS] = 0
    model = ranked.ranker(replace(examples, pair=pair))
    assert not model.came_back(model.normalise(pair[examples.candidate])).numpy().any()


@pytest.mark.parametrize("share", [0.001, 0.3])
def test_one_engagement_is_as_familiar_as_many(ranked, share):
    examples = ranked.examples()
    random = np.random.default_rng(1)
    pair = np.zeros_like(examples.pair)
    pair[..., PAST_EVENTS] = (random.random(pair.shape[:2]) < share) * np.log1p(random.integers(1, 9, pair.shape[:2]))
    model = ranked.ranker(replace(examples, pair=pair))
    told = np.zeros((4, pair.shape[-1]), np.float32)
    told[:, PAST_EVENTS] = 0, math.log(2), math.log(3), math.log(9)
    none, *some = model.came_back(model.normalise(told)).numpy()
    assert none == pytest.approx(0, abs=1e-6)
    assert np.ptp(some) == pytest.approx(0, abs=1e-6) and some[0] > 0.1
    assert share < 0.01 or some[0] == pytest.approx(1)
