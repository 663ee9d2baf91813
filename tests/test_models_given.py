"""The fit of satisfaction: what a logistic regression finds, and what held-out users make of it."""

from dataclasses import replace

import numpy as np
import pytest

from souk.metrics import auc, log_loss
from souk.models.fit_given import fit_given, leave_body_out, logistic
from souk.models.fit_ranker import fit_ranker
from souk.models.rank_scoring import scoring
from souk.pairs import PAIR_FEATURES
from tests.models_fixtures import cycle_market
from tests.ranker_fixtures import CONFIG, Ranked

ROWS, HELD_OUT = 1500, 300
TELLS = PAIR_FEATURES.index("satisfied_before")


def chance(logits):
    return 1 / (1 + np.exp(-logits))


class Market:
    """Examples with random pair features, one of which tells satisfaction, and a ranker of them."""

    def __init__(self, folder):
        ranked, random = Ranked(folder, *cycle_market(users=12)), np.random.default_rng(0)
        examples = ranked.examples()
        examples = examples.take(np.arange(ROWS) % len(examples))
        pair = random.normal(size=examples.pair.shape).astype(np.float32)
        self.logit = 2.0 * pair[np.arange(ROWS), examples.own, TELLS] - 0.5
        self.labels = (random.random(ROWS) < chance(self.logit)).astype(np.int64)
        examples = replace(examples, pair=pair, users=np.arange(ROWS), first=np.ones(ROWS, bool))
        self.model, self.catalogue = ranked.ranker(examples), ranked.catalogue
        self.whole = ranked.lists(self.model, examples)
        self.scores = {body: scoring(self.model, ranked.catalogue, body) for body in (False, True)}

    def lists(self, labels):
        return replace(self.whole, examples=replace(self.whole.examples, labels={"satisfied": labels}))

    def weights(self):
        return self.model.straight["satisfied"].get_weights()

    def forget(self):
        self.model.straight["satisfied"].set_weights([np.zeros_like(weights) for weights in self.weights()])

    def fit(self, labels, count=ROWS - HELD_OUT):
        """Held-out logits of a fit to `count` rows."""
        lists, held_out = self.lists(labels), np.arange(HELD_OUT)
        fitted = np.arange(HELD_OUT, HELD_OUT + count)
        score = lambda rows: self.scores[False](lists, rows)  # noqa: E731
        fit_given(self.model, "satisfied", lists, score, fitted, held_out, lambda _: None)
        own = lists.examples.own[:HELD_OUT]
        return self.scores[False](lists, held_out)["satisfied"][held_out, own]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Market(tmp_path_factory.mktemp("satisfied"))


@pytest.fixture
def market(built):
    built.forget()
    return built


def test_a_logistic_regression_ends_where_it_has_no_slope():
    random = np.random.default_rng(1)
    design = np.concatenate([random.normal(size=(4000, 3)), np.ones((4000, 1))], axis=1)
    truth, rest, begun = np.array([2.0, -1.0, 0.0, 0.5]), random.normal(size=4000), np.array([0.0, 0.0, 1.0, 0.0])
    labels = random.random(4000) < chance(design @ truth + rest)
    loose, tight = (logistic(design, labels, rest, begun, np.full(3, strength), begun) for strength in (1e-3, 1e6))
    assert loose == pytest.approx(truth, abs=0.15)
    assert np.abs(design.T @ (chance(design @ loose + rest) - labels)).max() < 0.01
    assert tight[:3] == pytest.approx(begun[:3], abs=0.01), "the prior draws to what was before"
    assert chance(design @ tight + rest).mean() == pytest.approx(labels.mean(), abs=1e-6), "the constant is free"


def test_held_out_users_are_told_what_the_labels_follow(market):
    before = market.model.straight["engaged"].get_weights()[0].copy()
    found, labels = market.fit(market.labels), market.labels[:HELD_OUT]
    truth = market.logit[:HELD_OUT]
    assert log_loss(chance(found), labels) < log_loss(chance(truth), labels) + 0.05  # what 29 features of noise cost
    assert auc(found, labels) > auc(truth, labels) - 0.03
    np.testing.assert_array_equal(market.model.straight["engaged"].get_weights()[0], before)


@pytest.mark.parametrize("case", ["held-out users contradict it", "nobody knows the labels"])
def test_what_nothing_speaks_for_is_not_learned(market, case):
    turned = np.concatenate([market.labels[:HELD_OUT], 1 - market.labels[HELD_OUT:]])
    market.fit(turned if case.startswith("held-out") else np.full(ROWS, -1))
    assert not any(weights.any() for weights in market.weights())


def test_a_few_new_labels_leave_a_fit_near_what_it_was(market):
    market.fit(market.labels)
    before = market.weights()[0]
    market.fit(market.labels, count=9)
    assert 0 <= np.abs(market.weights()[0] - before).max() < 0.5 * np.abs(before).max()


def test_satisfaction_does_not_wait_for_the_order(market, monkeypatch):
    monkeypatch.setattr("souk.models.fit_ranker.STRAIGHT_RATE", 0.0)
    monkeypatch.setattr("souk.models.fit_ranker.LEAST_STEPS", 1)
    monkeypatch.setattr("souk.models.fit_level.STEPS", 1)
    short = CONFIG.model_copy(update={"straight_epochs": 1, "epochs": 0})
    found = fit_ranker(market.model, market.lists(market.labels), market.catalogue, short, lambda _: None)
    assert found.metrics["satisfied_auc"] > 0.75


def test_without_the_body_satisfaction_is_the_straight_path(market):
    head = market.model.body.heads["satisfied"]
    head.set_weights([weights + 1 for weights in head.get_weights()])
    leave_body_out(market.model, "satisfied", [np.full_like(weights, 0.1) for weights in market.weights()])
    whole, alone = (market.scores[body](market.whole, np.arange(9))["satisfied"] for body in (True, False))
    np.testing.assert_allclose(whole, alone, atol=1e-6)
    assert np.ptp(alone) > 0


@pytest.mark.parametrize(
    ("unknown", "why"),
    [
        (slice(None), "0 of its labels are known"),
        (slice(HELD_OUT), "of its 1200 known labels none is of the held-out users"),
    ],
)
def test_a_head_without_a_known_label_says_so(market, unknown, why):
    labels, told = market.labels.copy(), []
    labels[unknown] = -1
    rows = np.arange(ROWS)
    score = lambda rows: market.scores[False](market.lists(labels), rows)  # noqa: E731
    fit_given(market.model, "satisfied", market.lists(labels), score, rows[HELD_OUT:], rows[:HELD_OUT], told.append)
    assert len(told) == 1 and told[0].startswith(f"satisfied: not learned: {why}")
