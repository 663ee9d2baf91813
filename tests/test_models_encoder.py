"""The encoder beside attention written out, the sample of a step, and the learning rate, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from souk.models.encoder import BUCKETS, NEAR, CausalAttention, CausalEncoder, buckets
from souk.models.fit_towers import LAST_RATE, WHOLE, TowerFit, _schedule
from souk.models.losses import sample_chance

LENGTH, HEADS, DIM = 6, 2, 8
TOKENS = np.random.default_rng(2).normal(size=(2, LENGTH, DIM)).astype(np.float32)


def test_near_distances_have_a_bucket_each_and_far_ones_four_to_a_doubling():
    back = buckets(300)
    assert back[:NEAR].tolist() == list(range(NEAR))
    assert (np.diff(back) >= 0).all() and set(back) == set(range(BUCKETS))
    assert [int((back == bucket).sum()) for bucket in range(NEAR, NEAR + 4)] == [4, 3, 4, 5]  # 16 to 31


def test_attention_is_that_written_out_and_sees_no_later_token():
    layer = CausalAttention(LENGTH + 3, HEADS, DIM, name="attend")
    layer(TOKENS)
    layer.bias.assign(np.random.default_rng(3).normal(size=(BUCKETS, HEADS)))
    found = layer(TOKENS).numpy()
    parts = layer.project(TOKENS).numpy().reshape(2, LENGTH, 3, HEADS, DIM // HEADS)
    bias, expected = layer.bias.numpy(), np.zeros((2, LENGTH, HEADS, DIM // HEADS))
    for row, place, head in np.ndindex(2, LENGTH, HEADS):
        query, keys, values = parts[row, place, 0, head], parts[row, : place + 1, 1, head], parts[row, :, 2, head]
        scores = keys @ query / np.sqrt(DIM // HEADS) + bias[place - np.arange(place + 1), head]
        shares = np.exp(scores) / np.exp(scores).sum()
        expected[row, place, head] = shares @ values[: place + 1]
    out = layer.out(expected.reshape(2, LENGTH, DIM).astype(np.float32)).numpy()
    np.testing.assert_allclose(found, out, atol=1e-5)


def test_a_later_token_moves_no_earlier_output():
    encoder = CausalEncoder(LENGTH, 2, HEADS, DIM, 0.0, name="encoder")
    before = encoder(TOKENS).numpy()
    for place in range(LENGTH):
        other = TOKENS.copy()
        other[:, place] += 3.0
        after = encoder(other).numpy()
        np.testing.assert_allclose(after[:, :place], before[:, :place], atol=1e-6)
        assert (np.abs(after[:, place:] - before[:, place:]).max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_some_places_alone_are_what_they_are_among_all(layers):
    encoder = CausalEncoder(LENGTH, layers, HEADS, DIM, 0.0, name="encoder")
    whole, at = encoder(TOKENS).numpy(), np.array([[0, 3], [5, 2]])
    for block in encoder.blocks:
        block.attend.bias.assign(np.random.default_rng(3).normal(size=(BUCKETS, HEADS)))
        whole = encoder(TOKENS).numpy()
    some = encoder(TOKENS, at=at).numpy()
    np.testing.assert_allclose(some, np.take_along_axis(whole, at[..., None], axis=1), atol=1e-6)


@pytest.mark.parametrize("length", [1, 4, LENGTH])
@pytest.mark.parametrize("at", [None, np.array([[0], [0]])])
def test_settled_biases_are_those_of_now_for_every_length(length, at):
    encoder = CausalEncoder(LENGTH, 2, HEADS, DIM, 0.0, name="encoder")
    encoder(TOKENS)
    for seed, block in enumerate(encoder.blocks):
        block.attend.bias.assign(np.random.default_rng(seed).normal(size=(BUCKETS, HEADS)))
    tokens, at = TOKENS[:, :length], at if at is None else at + length - 1
    wanted = encoder(tokens, at=at).numpy()
    with encoder.settled():
        kept = tf.function(lambda tokens: encoder(tokens, at=at)).get_concrete_function(tf.TensorSpec([2, None, DIM]))
    for block in encoder.blocks:
        block.attend.bias.assign(tf.zeros([BUCKETS, HEADS]))
    np.testing.assert_allclose(kept(tf.constant(tokens)).numpy(), wanted, atol=1e-6)
    if length > 1:
        assert np.abs(encoder(tokens, at=at).numpy() - wanted).max() > 1e-3, "others learn on"


def test_a_sample_holds_the_targets_and_draws_of_what_the_fit_sees_each_once_with_its_chance():
    items, draws = 60, 20
    known = np.arange(0, items, 2)  # the fit sees no odd item
    frequency = np.where(np.arange(items) % 2, 0.0, 1.0 + np.arange(items)).astype(np.float32)
    frequency /= frequency.sum()
    fit = SimpleNamespace(
        config=SimpleNamespace(negatives=draws),
        catalogue=SimpleNamespace(ids=range(items)),
        _known=tf.constant(known),
        _frequency=tf.constant(frequency),
        _random=tf.random.Generator.from_seed(1),
    )
    targets = np.array([4, 8, 4, 58, 8, 2])
    samples = [TowerFit._sample(fit, tf.constant(targets)) for _ in range(3)]
    for sample, own, chance in ([part.numpy() for part in one] for one in samples):
        assert len(set(sample)) == len(sample) and set(targets) <= set(sample) <= set(known)
        assert sample[own].tolist() == targets.tolist()
        expected = sample_chance(tf.constant(frequency[sample]), tf.constant(6), draws, tf.constant(len(known)))
        np.testing.assert_allclose(chance, expected.numpy(), rtol=1e-6)
    assert {*samples[0][0].numpy()} != {*samples[1][0].numpy()}, "each step draws anew"
    fit.config.negatives = items // WHOLE
    sample, own, chance = (part.numpy() for part in TowerFit._sample(fit, tf.constant(targets)))
    assert sorted(sample) == known.tolist() and sample[own].tolist() == targets.tolist() and (chance == 1).all()


def test_the_learning_rate_rises_and_falls_along_a_cosine():
    steps = 200
    rates = np.array([rate for rate, _ in zip(_schedule(0.5, steps), range(steps), strict=False)])
    assert rates[:10] == pytest.approx(0.5 * np.arange(1, 11) / 10), "the first twentieth"
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[104] == pytest.approx(0.5 * (1 + LAST_RATE) / 2, rel=0.01), "half of the way down"
    assert rates[-1] == pytest.approx(0.5 * LAST_RATE)
