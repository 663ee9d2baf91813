"""The level of a ranker: chances whose truth is known, and an order that it leaves as it is."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from souk.metrics import auc
from souk.models import fit_level
from souk.models.calibration import platt
from souk.models.fit_level import LevelFit, Moments, moment_loss
from souk.models.level import Level, gauge

WIDTH = 20


def market(rows: int, seed: int) -> tuple[Moments, np.ndarray]:
    """Moments with one thing taken by a softmax, and the true chance of each candidate.

    Half of the orders are flat and right. The others are sharp, and twice as sure as they should be. Each has an offset
    of its own, which orders nothing. Moments of state 1 take something nine times in ten, the others once.
    """
    random = np.random.default_rng(seed)
    sharp = np.arange(rows)[:, None] % 2
    truth = random.normal(size=(rows, WIDTH)) * np.where(sharp, 1.5, 0.5)
    order = truth * np.where(sharp, 2.0, 1.0) + random.normal(0, 3, (rows, 1))
    state = random.integers(0, 2, rows)
    chance = np.exp(truth)
    chance *= np.where(state, 0.9, 0.1)[:, None] / chance.sum(axis=1, keepdims=True)
    taken = np.zeros(order.shape, bool)
    drawn = (random.random((rows, 1)) > np.cumsum(chance, axis=1)).sum(axis=1)
    taken[np.arange(rows), np.minimum(drawn, WIDTH - 1)] = drawn < WIDTH
    request = np.repeat(np.arange(rows), WIDTH)
    gauges = gauge(tf.constant(order.reshape(-1), tf.float32), request, rows).numpy()
    columns = np.stack([state, random.normal(size=rows)], axis=1).astype(np.float32)
    return Moments(order.astype(np.float32), gauges, columns, np.ones(order.shape, bool), taken), chance


def built(moments: Moments) -> Level:
    tf.keras.utils.set_random_seed(1)
    level = Level("level")
    moment_loss(level, *moments.some(slice(2)))
    return level


def logits(level: Level, moments: Moments) -> np.ndarray:
    request = np.repeat(np.arange(len(moments.placed)), WIDTH)
    return level(moments.placed.reshape(-1), request, moments.gauges, moments.state).numpy().reshape(-1, WIDTH)


def test_a_gauge_by_hand():
    order = tf.constant([0.0, np.log(3.0), 99.0, 5.0], tf.float32)
    request, listed = np.array([0, 0, 0, 2]), np.array([True, True, False, True])
    found = gauge(order, request, 4, listed).numpy()
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found[0] == pytest.approx([np.log(4), np.log(0.75), entropy], abs=1e-6)
    assert found[2] == pytest.approx([5, 0, 0], abs=1e-6)
    assert found[1].tolist() == found[3].tolist() == [0, 0, 0], "no candidate"


def test_a_gauge_of_great_logits_overflows_nowhere():
    found = gauge(tf.constant([1000.0, 1000.0, -1000.0]), np.zeros(3, np.int64), 1).numpy()
    assert found[0] == pytest.approx([1000 + np.log(2), -np.log(2), np.log(2)], abs=1e-3)


@pytest.fixture(scope="module")
def fitted():
    """A level, and the market that judges it."""
    (moments, _), (others, chance) = market(1500, 0), market(1500, 1)
    level = built(moments)
    return level, LevelFit(level, moments, others, seed=0).fit(), others, chance


def test_requests_of_another_sharpness_get_the_chances_that_they_have(fitted):
    """One slope and one offset for all cannot be right, whatever they are, nor can one slope of the softmax."""
    level, (first, best), others, chance = fitted
    told, taken = logits(level, others), others.taken.reshape(-1).astype(np.int64)
    found = 1 / (1 + np.exp(-told))
    slope, offset = platt(others.placed.reshape(-1), taken)
    alike = 1 / (1 + np.exp(-(slope * others.placed + offset)))
    truth = auc(chance.reshape(-1), taken)
    assert auc(found.reshape(-1), taken) > truth - 0.01
    assert auc(alike.reshape(-1), taken) < truth - 0.1
    assert np.abs(found - chance).mean() < 0.2 * np.abs(alike - chance).mean()
    assert best < first - 0.1, "the softmax alone does not know who takes"
    slopes = told.std(axis=1) / others.placed.std(axis=1)
    assert np.median(slopes[::2]) == pytest.approx(1.0, abs=0.25)
    assert np.median(slopes[1::2]) == pytest.approx(0.5, abs=0.1)


def test_the_order_of_a_request_stays_what_it_is(fitted):
    level, _, others, _ = fitted
    found = logits(level, others)
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(others.placed, axis=1))


def test_what_is_told_apart_by_nothing_keeps_the_mean(fitted):
    """Requests without an order, and a state that says nothing: the start is not beaten by chance."""
    moments, _ = market(60, 2)
    flat = Moments(
        np.zeros_like(moments.placed),
        np.tile(np.array([np.log(WIDTH), -np.log(WIDTH), np.log(WIDTH)], np.float32), (60, 1)),
        np.zeros_like(moments.state),
        moments.allowed,
        moments.taken,
    )
    level = built(flat)
    first, best = LevelFit(level, flat, flat, seed=0).fit()
    assert first - 0.02 < best <= first
    found = 1 / (1 + np.exp(-logits(level, flat)))
    assert found.mean() == pytest.approx(flat.taken.mean(), rel=0.1)


def test_a_level_that_is_better_already_stays(fitted):
    """A continued fit on a handful of moments."""
    level, (_, best), others, _ = fitted
    few, _ = market(6, 3)
    before = level.get_weights()
    again = Level("again")
    moment_loss(again, *others.some(slice(2)))
    again.set_weights(before)
    assert LevelFit(again, few, others, seed=0).fit()[1] == pytest.approx(best)
    for own, kept in zip(again.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, kept)


def test_a_level_is_fitted_to_a_draw_of_the_moments(monkeypatch):
    """Moments of all days, not the first ones; held-out users judge with all of theirs."""
    read = []
    monkeypatch.setattr(fit_level, "MOST", 30)
    monkeypatch.setattr(fit_level, "moment_rows", lambda _, rows: rows)
    monkeypatch.setattr(fit_level, "read_moments", lambda *given: read.append(given[-1]))
    monkeypatch.setattr(fit_level, "LevelFit", lambda *_: SimpleNamespace(fit=lambda: (0.0, 0.0)))
    taken = np.ones((100, 1), bool)
    lists = SimpleNamespace(allowed=taken, examples=SimpleNamespace(chosen=taken))
    fit_level.fit_level(SimpleNamespace(level=None), lists, None, np.arange(60), np.arange(60, 100), 0, lambda _: None)
    drawn, judged = read
    assert len(drawn) == 30 and (np.diff(drawn) > 0).all() and drawn.max() > 45
    assert (judged == np.arange(60, 100)).all()
    read.clear()
    taken[drawn] = False
    fit_level.fit_level(SimpleNamespace(level=None), lists, None, np.arange(60), np.arange(60, 100), 0, lambda _: None)
    assert not read, "of what is drawn nothing was taken, though of the rest something was"
