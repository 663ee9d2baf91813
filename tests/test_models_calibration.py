"""Calibration and curves with known answers."""

import numpy as np
import pytest
import tensorflow as tf

from souk.metrics import auc
from souk.models.calibration import IDENTITY, Calibration, calibrate, platt, roc
from souk.models.export import _bent


def test_platt_finds_the_slope_and_offset_that_made_the_labels():
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, 40_000)
    labels = (random.random(len(logits)) < 1 / (1 + np.exp(-(0.5 * logits - 2)))).astype(int)
    assert platt(logits, labels) == pytest.approx((0.5, -2), abs=0.06)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], [0, 0, 1]])
def test_platt_has_an_answer_for_one_class_and_for_separable_data(labels):
    slope, offset = platt(np.array([-1.0, 0.0, 1.0]), np.array(labels))
    assert np.isfinite([slope, offset]).all()


def test_platt_settles_where_plain_newton_steps_diverge():
    random = np.random.default_rng(0)
    logits = np.concatenate([random.normal(0, 0.3, 500), random.normal(-12, 1, 4500)])
    labels = np.concatenate([random.random(500) < 0.6, np.zeros(4500)]).astype(int)
    slope, offset = platt(logits, labels)
    near = 1 / (1 + np.exp(-(slope * logits[:500] + offset)))
    assert near.mean() == pytest.approx(0.6, abs=0.05)
    assert 0 < slope < 5


def test_platt_gives_no_say_to_logits_that_tell_the_contrary():
    slope, offset = platt(np.tile([-1.0, -0.5, 0.5, 1.0], 200), np.tile([1, 1, 0, 0], 200))
    assert slope == 0
    assert offset == pytest.approx(0)


def test_few_rows_do_not_turn_what_the_logits_say():
    logits = np.array([-1.0, -0.5, 0.5, 1.0])
    few, many = (platt(np.tile(logits, n), np.tile([0, 1, 1, 1], n)) for n in (1, 1000))
    assert few == pytest.approx((1, 0), abs=0.1)
    told = 1 / (1 + np.exp(-(many[0] * logits + many[1])))
    assert told.mean() == pytest.approx(0.75, abs=0.01), "many do"


def test_platt_without_rows_changes_nothing():
    assert platt(np.zeros(0), np.zeros(0)) == (1.0, 0.0)


def test_roc_rises_from_zero_to_one_and_is_short():
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 5000)
    scores = labels + random.normal(size=5000)
    curve = roc(scores, labels)
    assert len(curve["fpr"]) == len(curve["tpr"]) == len(curve["threshold"]) <= 101
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    assert np.trapezoid(curve["tpr"], curve["fpr"]) == pytest.approx(auc(scores, labels), abs=1e-3)
    assert roc(np.ones(3), np.ones(3)) == {"fpr": [], "tpr": [], "threshold": []}


def curved(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits whose true curve bends twice, their labels and their true probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, count)
    truth = 1 / (1 + np.exp(-(-2 + np.minimum(logits, 0) * 0.2 + np.maximum(logits, 0) * 1.5)))
    return logits, (random.random(count) < truth).astype(int), truth


def test_the_curve_bends_where_the_truth_does_and_a_line_is_not_enough():
    (logits, labels, _), (others, _, truth) = curved(60_000, 3), curved(60_000, 4)
    found = calibrate(logits, labels)
    slope, offset = platt(logits, labels)
    line = Calibration(offset, (), (slope,))
    deciles = np.array_split(np.argsort(others), 10)
    ratios = [found.probability(others[rows]).mean() / truth[rows].mean() for rows in deciles]
    assert np.all((np.array(ratios) > 0.93) & (np.array(ratios) < 1.07)), ratios
    off = [line.probability(others[rows]).mean() / truth[rows].mean() for rows in deciles]
    assert max(abs(np.log(off))) > 2 * max(abs(np.log(ratios)))


def test_the_curve_rises_whatever_the_labels():
    random = np.random.default_rng(5)
    logits = random.normal(0, 1, 5_000)
    labels = (random.random(5_000) < np.where(abs(logits) < 1, 0.5, 0.2 + 0.1 * (logits > 0))).astype(int)
    found = calibrate(logits, labels)
    assert (np.diff(found.probability(np.linspace(-4, 4, 200))) > 0).all()


def test_few_positives_get_a_line():
    logits, labels, _ = curved(150, 6)
    assert calibrate(logits, labels).knots == ()
    assert calibrate(np.zeros(0), np.zeros(0, int)) == Calibration(0.0, (), (1.0,))


@pytest.mark.parametrize(
    "curve", [IDENTITY, Calibration(0.5, (), (2.0,)), Calibration(-1.0, (-2.0, 0.5), (1.0, 0.2, 3.0))]
)
@pytest.mark.parametrize("shape", [(7,), (2, 3)])
def test_a_saved_ranker_has_the_same_curve(curve, shape):
    logits = np.random.default_rng(1).normal(0, 2, shape).astype(np.float32)
    found = tf.sigmoid(_bent(tf.constant(logits), curve)).numpy()
    np.testing.assert_allclose(found, curve.probability(logits), rtol=1e-5)
