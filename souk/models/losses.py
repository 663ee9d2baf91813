"""The towers' loss: a sampled softmax with the correction of its sampling."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras_rs.layers import SamplingProbabilityCorrection

MASKED = -1e9


def mixed_probability(frequency: tf.Tensor, in_batch: tf.Tensor, uniform: int, items: int) -> tf.Tensor:
    """The chance that one draw of the mixed sample is a given item.

    q(i) = (B · f(i) + U / I) / (B + U), of B in-batch draws at the items' frequency f and U uniform ones of I items
    (Yang et al. 2020, Mixed Negative Sampling).

    Args:
        frequency: share of the training targets that are this item, `[...] float32`.
        in_batch: B, scalar.
        uniform: U.
        items: I.
    """
    batch = tf.cast(in_batch, tf.float32)
    return (batch * frequency + uniform / items) / (batch + uniform)


def sampled_softmax(
    queries: tf.Tensor,
    vectors: tf.Tensor,
    items: tf.Tensor,
    probability: tf.Tensor,
    temperature: float,
) -> Any:
    """The mean cross-entropy of each target against all sampled items, corrected for their sampling.

    s_c(q, i) = q · v_i / τ - log p(i) (Yi et al. 2019, Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations), with p the chance of item i in the sample. Without it a popular item, often a negative of other
    targets, is pushed down too far. Samples that are the target's own item are no negatives and are masked; keras_rs'
    RemoveAccidentalHits is not used because that of 0.4.0 adds 1e-40, which changes nothing.

    Args:
        queries: `[targets, dim] float32`.
        vectors: `[candidates, dim] float32`; the first `targets` of them are the targets' own items.
        items: item index of each candidate, `[candidates] int`.
        probability: sampling probability of each candidate, `[candidates] float32`.
        temperature: τ.
    """
    targets = tf.shape(queries)[0]
    logits = tf.matmul(queries, vectors, transpose_b=True) / temperature
    logits = SamplingProbabilityCorrection(epsilon=1e-12)(logits, probability[tf.newaxis, :])
    same = items[tf.newaxis, :] == items[:targets, tf.newaxis]
    own = tf.eye(targets, tf.shape(items)[0], dtype=tf.bool)
    logits = tf.where(same & ~own, MASKED, logits)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1) - tf.linalg.diag_part(logits[:, :targets]))
