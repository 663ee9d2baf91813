"""The towers' loss: a softmax over a sample of the catalogue, corrected for its sampling."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def sample_chance(frequency: tf.Tensor, targets: tf.Tensor, draws: int, items: tf.Tensor) -> tf.Tensor:
    """The chance that an item is in a sample of the other targets of a batch and of uniform draws.

    1 - (1 - f)^(T - 1) · (1 - 1/I)^U: T targets at the items' frequency f and U draws, with replacement, of I items
    (mixed negative sampling, Yang et al. 2020, of which each item counts once).

    Args:
        frequency: share of the training targets that are this item, `[...] float32`.
        targets: T, scalar.
        draws: U.
        items: I, scalar.
    """
    missed = tf.cast(targets - 1, tf.float32) * tf.math.log1p(-tf.minimum(frequency, 0.999))
    missed += draws * tf.math.log1p(-1.0 / tf.cast(tf.maximum(items, 2), tf.float32))
    return tf.maximum(-tf.math.expm1(missed), 1e-12)


def temperature_of(scale: float, items: tf.Tensor) -> tf.Tensor:
    """τ of a softmax over a catalogue of `items`, scalar: `scale` / ln(items).

    At a scale of 1, an item whose vector is the query's is as likely as all those at a right angle to it together. A τ
    that is the same for every catalogue cannot be right: of cosines, it bounds how likely one of many items can be.
    """
    return scale / tf.math.log(tf.cast(tf.maximum(items, 2), tf.float32))


def sampled_logits(
    queries: tf.Tensor,
    vectors: tf.Tensor,
    own: tf.Tensor,
    chance: tf.Tensor,
    temperature: tf.Tensor | float,
    given: tf.Tensor | float = 0.0,
    absent: tf.Tensor | bool = False,
) -> tf.Tensor:
    """`[targets, sample] float32`: what the softmax of each target is over, corrected for how the sample came about.

    With s(q, i) = q · v_i / τ, an item j that is in the sample with chance p(j) counts as s(q, j) - log p(j) (logQ:
    Bengio and Senécal 2008; Yi et al. 2019): as often as it is drawn, so much less it weighs, and the sum of the
    exponentials estimates that of the whole catalogue. The target's own item is there for sure and not corrected
    (Khrylchenko et al. 2025, Correcting the LogQ Correction). Without the correction a popular item, often a negative
    of other targets, is pushed down too far. Where the sample is the whole catalogue, p is 1 and this the softmax.

    What is `given` of each item need not be learned (logit adjustment: Menon et al. 2021, equation 10): s becomes
    log P(i | q) less it. With (1 - a) log frequency, a share a of popularity is learned. Where negatives are drawn by
    frequency this is the same as a correction by a · log p.

    What is `absent` is no negative: that an item could not be taken yet says nothing of what a user wants, and what
    comes late would be pushed down by all targets before it.

    Args:
        queries: `[targets, dim] float32`.
        vectors: `[sample, dim] float32`, the vectors of distinct items.
        own: `[targets] int`, the place of each target's item in the sample.
        chance: p, `[sample] float32`.
        temperature: τ.
        given: `[sample] float32`, added to the logits here and nowhere else.
        absent: `[targets, sample] bool`, the items that were not there at the time of a target.
    """
    queries, own = queries / temperature, tf.cast(own, tf.int32)
    given = tf.broadcast_to(given, tf.shape(chance))
    logits = tf.matmul(queries, vectors, transpose_b=True) + (given - tf.math.log(chance))
    if absent is not False:
        logits = tf.where(absent, logits.dtype.min, logits)
    mine = tf.reduce_sum(queries * tf.gather(vectors, own), -1) + tf.gather(given, own)
    return tf.tensor_scatter_nd_update(logits, tf.stack([tf.range(tf.size(own)), own], -1), mine)


def cross_entropy(logits: tf.Tensor, own: tf.Tensor) -> Any:
    """The mean over targets of what their own items' places `own [targets] int` miss; `[targets, sample]` logits."""
    places = tf.stack([tf.range(tf.size(own)), tf.cast(own, tf.int32)], -1)
    # What tf.nn has for it is slower: it has one thread or, where operations are to be reproducible, goes a way about.
    return tf.reduce_mean(tf.reduce_logsumexp(logits, -1) - tf.gather_nd(logits, places))


def disagreement(one: tf.Tensor, other: tf.Tensor) -> Any:
    """How far two softmaxes are from each other: the mean over targets of (KL(p, q) + KL(q, p)) / 2.

    Between two passes of one model, which drop different parts of it (R-Drop: Liang et al. 2021, equation 2), it is the
    price of what was learned by heart, and not by all of the model.

    Args:
        one: `[targets, sample] float32`, logits.
        other: likewise.
    """
    logs, others = tf.nn.log_softmax(one), tf.nn.log_softmax(other)
    apart = (tf.exp(logs) - tf.exp(others)) * (logs - others)
    return tf.reduce_mean(tf.reduce_sum(apart, axis=-1)) / 2
