"""The towers' loss: a sampled softmax with the correction of its sampling."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras_rs.layers import SamplingProbabilityCorrection

MASKED = -1e9


def mixed_probability(frequency: tf.Tensor, in_batch: tf.Tensor, uniform: int, items: tf.Tensor) -> tf.Tensor:
    """The chance that one draw of the mixed sample is a given item.

    q(i) = (B · f(i) + U / I) / (B + U), of B in-batch draws at the items' frequency f and U uniform ones of I items
    (Yang et al. 2020, Mixed Negative Sampling).

    Args:
        frequency: share of the training targets that are this item, `[...] float32`.
        in_batch: B, scalar.
        uniform: U.
        items: I, scalar.
    """
    batch, share = tf.cast(in_batch, tf.float32), uniform / tf.cast(items, tf.float32)
    return (batch * frequency + share) / (batch + uniform)


def sampled_softmax(
    queries: tf.Tensor,
    vectors: tf.Tensor,
    items: tf.Tensor,
    probability: tf.Tensor,
    temperature: float,
) -> Any:
    """The mean cross-entropy of each target against all sampled items, corrected for their sampling.

    With s(q, i) = q · v_i / τ and n drawn items of which each is item j with chance p(j), a negative j counts as
    s(q, j) - log(n · p(j)) (logQ: Bengio and Senécal 2008; Yi et al. 2019): as often as it is drawn, so much less it
    weighs, and the sum of the negatives' exponentials estimates that of the whole catalogue. The target is there for
    sure and not corrected, and other draws of its item are masked, since they would count it twice (Khrylchenko et al.
    2025, Correcting the LogQ Correction). Without the correction a popular item, often a negative of other targets, is
    pushed down too far.

    keras_rs' RemoveAccidentalHits is not used: that of 0.4.0 adds 1e-40 to the logits, which changes nothing.

    Args:
        queries: `[targets, dim] float32`.
        vectors: `[candidates, dim] float32`; the first `targets` of them are the targets' own items.
        items: item index of each candidate, `[candidates] int`.
        probability: sampling probability of each candidate, `[candidates] float32`.
        temperature: τ.
    """
    targets, candidates = tf.shape(queries)[0], tf.shape(items)[0]
    logits = tf.matmul(queries, vectors, transpose_b=True) / temperature
    own = tf.linalg.diag_part(logits[:, :targets])
    draws = tf.cast(candidates - 1, tf.float32)
    corrected = SamplingProbabilityCorrection(epsilon=1e-12)(logits, probability[tf.newaxis, :]) - tf.math.log(draws)
    negatives = tf.where(items[tf.newaxis, :] == items[:targets, tf.newaxis], MASKED, corrected)
    return tf.reduce_mean(tf.reduce_logsumexp(tf.concat([own[:, tf.newaxis], negatives], 1), axis=1) - own)
