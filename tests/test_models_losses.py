"""The towers' loss beside a slow plain computation."""

import math

import numpy as np
import pytest
import tensorflow as tf

from souk.models.losses import mixed_probability, sampled_softmax

RANDOM = np.random.default_rng(3)
QUERIES = RANDOM.normal(size=(3, 4)).astype(np.float32)
VECTORS = RANDOM.normal(size=(5, 4)).astype(np.float32)
PROBABILITY = np.array([0.3, 0.1, 0.05, 0.02, 0.2], np.float32)


def plain(items, probability, temperature=0.5):
    losses = []
    for target in range(len(QUERIES)):
        scores = {}
        for candidate in range(len(VECTORS)):
            dot = sum(float(a) * float(b) for a, b in zip(QUERIES[target], VECTORS[candidate], strict=True))
            if candidate == target:
                scores[candidate] = dot / temperature
            elif items[candidate] != items[target]:
                scores[candidate] = dot / temperature - math.log((len(VECTORS) - 1) * probability[candidate])
        losses.append(math.log(sum(math.exp(s) for s in scores.values())) - scores[target])
    return sum(losses) / len(losses)


def loss(items, probability, temperature=0.5):
    return float(sampled_softmax(QUERIES, VECTORS, tf.constant(items), tf.constant(probability), temperature))


def test_it_is_the_corrected_softmax():
    items = [0, 1, 2, 3, 4]
    assert loss(items, PROBABILITY) == pytest.approx(plain(items, PROBABILITY), rel=1e-5)
    even = np.full(5, 0.2, np.float32)
    assert loss(items, even) == pytest.approx(plain(items, even), rel=1e-5)
    assert abs(loss(items, PROBABILITY) - loss(items, even)) > 0.01


def test_samples_of_the_targets_own_item_are_no_negatives():
    items = [7, 8, 7, 8, 9]  # target 0 meets its item again at 2, target 1 at 3
    assert loss(items, PROBABILITY) == pytest.approx(plain(items, PROBABILITY), rel=1e-5)
    assert loss(items, PROBABILITY) < loss([0, 1, 2, 3, 4], PROBABILITY)


def learned_shares(frequency, probability, rate=2.0):
    """The softmax of one score an item, fitted to targets and in-batch negatives drawn at `frequency`."""
    scores = tf.Variable(np.zeros(len(frequency), np.float32))
    for batch in np.random.default_rng(5).choice(len(frequency), size=(80, 100), p=frequency):
        with tf.GradientTape() as tape:
            taken = tf.gather(tf.convert_to_tensor(scores), batch)
            chance = tf.gather(tf.constant(probability, tf.float32), batch)
            value = sampled_softmax(np.ones((100, 1), np.float32), taken[:, None], tf.constant(batch), chance, 1.0)
        scores.assign_sub(rate * tf.convert_to_tensor(tape.gradient(value, scores)))
    return tf.nn.softmax(scores).numpy()


def test_only_the_corrected_loss_learns_how_popular_items_are():
    frequency = np.array([0.7, 0.2, 0.1])
    assert learned_shares(frequency, frequency) == pytest.approx(frequency, abs=0.03)
    assert learned_shares(frequency, np.full(3, 1 / 3))[0] < 0.6


def test_the_mixed_sample_is_in_batch_and_uniform():
    frequency = tf.constant([0.5, 0.5, 0.0, 0.0])
    got = mixed_probability(frequency, 6, uniform=2, items=4).numpy()
    assert got == pytest.approx([(3 + 0.5) / 8, (3 + 0.5) / 8, 0.5 / 8, 0.5 / 8])
    assert got.sum() == pytest.approx(1)
