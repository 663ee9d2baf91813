"""The towers' loss beside a slow plain computation."""

import math

import numpy as np
import pytest
import tensorflow as tf

from souk.models.losses import cross_entropy, disagreement, sample_chance, sampled_logits, temperature_of

RANDOM = np.random.default_rng(3)
QUERIES = RANDOM.normal(size=(3, 4)).astype(np.float32)
VECTORS = RANDOM.normal(size=(5, 4)).astype(np.float32)
CHANCE = np.array([0.3, 0.1, 0.05, 0.02, 0.2], np.float32)


def sampled_softmax(queries, vectors, own, *given, **named):
    return cross_entropy(sampled_logits(queries, vectors, own, *given, **named), own)


def plain(own, chance, temperature):
    losses = []
    for query, target in zip(QUERIES, own, strict=True):
        dots = [sum(float(a) * float(b) for a, b in zip(query, vector, strict=True)) for vector in VECTORS]
        scores = [
            dot / temperature - (0 if item == target else math.log(chance[item])) for item, dot in enumerate(dots)
        ]
        losses.append(math.log(sum(math.exp(score) for score in scores)) - scores[target])
    return sum(losses) / len(losses)


def loss(own, chance, temperature=0.5):
    return float(sampled_softmax(QUERIES, VECTORS, tf.constant(own), tf.constant(chance), temperature))


def test_it_is_the_corrected_softmax():
    for own, temperature in (([0, 1, 2], 0.5), ([4, 4, 1], 2.0)):
        assert loss(own, CHANCE, temperature) == pytest.approx(plain(own, CHANCE, temperature), rel=1e-5)
    assert abs(loss([0, 1, 2], CHANCE) - loss([0, 1, 2], np.full(5, 0.2, np.float32))) > 0.01


def test_a_sample_of_all_items_is_the_whole_softmax():
    logits = QUERIES @ VECTORS.T / 0.5
    whole = np.mean([np.log(np.exp(row).sum()) - row[t] for row, t in zip(logits, (0, 1, 2), strict=True)])
    assert loss([0, 1, 2], np.ones(5, np.float32)) == pytest.approx(whole, rel=1e-5)


def test_what_was_not_there_yet_is_no_negative_but_the_own_item_counts():
    absent = np.array([[False, True, False, False, True], [True] * 5, [False] * 5])
    logits = QUERIES @ VECTORS.T / 0.5 - np.log(CHANCE)
    expected = []
    for row, (target, away) in enumerate(zip((0, 1, 2), absent, strict=True)):
        own = logits[row, target] + np.log(CHANCE[target])
        others = [logits[row, item] for item in range(5) if item != target and not away[item]]
        expected.append(np.log(np.exp([own, *others]).sum()) - own)
    found = sampled_softmax(QUERIES, VECTORS, tf.constant([0, 1, 2]), tf.constant(CHANCE), 0.5, absent=absent)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("items", [2, 5, 1000])
def test_what_fits_wholly_is_as_likely_as_all_that_fits_not_at_all(items):
    """Of a query, its own item at a cosine of 1 and as many others as there are items at 0."""
    vectors = tf.constant([[1.0, 0.0], *[[0.0, 1.0]] * items])
    tau = temperature_of(1.0, tf.constant(items))
    found = sampled_softmax(tf.constant([[1.0, 0.0]]), vectors, tf.constant([0]), tf.ones(items + 1), tau)
    assert float(found) == pytest.approx(np.log(2), rel=1e-5)
    assert float(temperature_of(0.5, tf.constant(items))) == pytest.approx(float(tau) / 2)


def test_the_chance_of_being_in_the_sample():
    frequency = np.array([0.5, 0.3, 0.15, 0.05])
    targets = RANDOM.choice(4, size=(40_000, 5), p=frequency)  # the others of a batch of 6
    drawn = RANDOM.integers(0, 4, size=(40_000, 2))
    found = sample_chance(tf.constant(frequency, tf.float32), tf.constant(6), 2, tf.constant(4)).numpy()
    for item in range(4):
        there = (targets == item).any(axis=1) | (drawn == item).any(axis=1)
        assert found[item] == pytest.approx(there.mean(), abs=0.01)
    alone = sample_chance(tf.constant([1.0]), tf.constant(1), 8, tf.constant(1)).numpy()
    assert np.isfinite(np.log(alone)).all()


def learned_shares(frequency, corrected):
    """The softmax of one score an item, fitted to targets and a sample of them and of 2 uniform draws."""
    scores, rate, random = tf.Variable(np.zeros(len(frequency), np.float32)), 2.0, np.random.default_rng(5)
    every = tf.constant(frequency, tf.float32)
    for targets in random.choice(len(frequency), size=(300, 4), p=frequency):
        sample, place = np.unique(np.concatenate([targets, random.integers(0, len(frequency), 2)]), return_inverse=True)
        chance = sample_chance(tf.gather(every, sample), tf.constant(4), 2, tf.constant(len(frequency)))
        with tf.GradientTape() as tape:
            vectors = tf.gather(tf.convert_to_tensor(scores), sample)[:, None]
            chance = chance if corrected else tf.ones(len(sample))
            value = sampled_softmax(np.ones((4, 1), np.float32), vectors, tf.constant(place[:4]), chance, 1.0)
        scores.assign_sub(rate * tf.convert_to_tensor(tape.gradient(value, scores)))
        rate *= 0.99
    return tf.nn.softmax(scores).numpy()


def test_only_the_corrected_loss_learns_how_popular_items_are():
    frequency = np.array([0.6, 0.2, 0.1, 0.06, 0.04])
    assert learned_shares(frequency, True)[0] == pytest.approx(0.6, abs=0.06)
    assert learned_shares(frequency, False)[0] < 0.53


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_what_is_given_of_popularity_is_not_learned(strength):
    """Users of two kinds: nothing pulls at the best scores, log P(item | kind) less what is given."""
    taken = np.array([[0.6, 0.3, 0.1], [0.5, 0.1, 0.4]])
    given = ((1 - strength) * np.log(taken.mean(axis=0))).astype(np.float32)
    rows, items = (
        np.repeat([0, 1], 10),
        np.concatenate([np.repeat([0, 1, 2], (10 * p).round().astype(int)) for p in taken]),
    )
    queries = np.eye(2, dtype=np.float32)[rows]
    slopes = []
    for scores in (np.log(taken) - given, np.log(taken) - 0.5 * given - 0.1):
        vectors = tf.Variable(scores.T.astype(np.float32))
        with tf.GradientTape() as tape:
            value = sampled_softmax(queries, vectors, tf.constant(items), tf.ones(3), 1.0, tf.constant(given))
        slopes.append(np.abs(tape.gradient(value, vectors).numpy()).max())
    assert slopes[0] < 1e-6
    assert slopes[1] > 0.01 or strength == 1.0


def test_the_disagreement_of_two_passes_is_the_mean_of_both_divergences():
    """Beside a plain computation; what is in no sample of a target is a matter of neither."""
    own, absent = tf.constant([0, 1, 2]), np.array([[False, True, False, False, True], [False] * 5, [False] * 5])
    one, other = (
        sampled_logits(QUERIES * by, VECTORS, own, tf.constant(CHANCE), 0.5, absent=absent) for by in (1.0, -0.7)
    )
    expected = []
    for row, away in enumerate(absent):
        p, q = (np.exp(each.numpy()[row][~away].astype(np.float64)) for each in (one, other))
        p, q = p / p.sum(), q / q.sum()
        expected.append(((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum()) / 2)
    assert min(expected) > 0.05
    assert float(disagreement(one, other)) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(disagreement(other, one)) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(disagreement(one, one)) == pytest.approx(0, abs=1e-7)
    assert float(disagreement(one, one + 3.0)) == pytest.approx(0, abs=1e-6)  # scores that say the same


def test_absent_items_leave_the_slope_of_a_disagreement_a_number():
    vectors, absent = tf.Variable(VECTORS), np.array([[False, True, True, True, True]] * 3)
    with tf.GradientTape() as tape:
        logits = [
            sampled_logits(QUERIES * by, vectors, tf.constant([0, 0, 0]), tf.constant(CHANCE), 0.01, absent=absent)
            for by in (1.0, 0.5)
        ]
        value = disagreement(*logits)
    assert np.isfinite(tape.gradient(value, vectors).numpy()).all() and float(value) == 0
