"""From the order of a request's candidates to the chance that each is taken."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from souk.models.rank_features import Normalise

HIDDEN = 16  # width of what a level is made of, beside the state as it is
SHARPEST = math.log(4)  # a slope is at most 4, and at least 1/4


def gauge(
    order: tf.Tensor, request: tf.Tensor, requests: tf.Tensor | int, listed: tf.Tensor | None = None
) -> tf.Tensor:
    """How much a request's order says, `[requests, 3]`: its log-sum-exp, and of its softmax the logarithm of the
    greatest chance and the entropy. Zeros without candidates.

    Args:
        order: `[candidates] float32`.
        request: `[candidates] int64`.
        requests: how many there are.
        listed: `[candidates] bool`, those that count; None for all.
    """
    counts = tf.ones_like(order) if listed is None else tf.cast(listed, tf.float32)
    masked = tf.where(counts > 0, order, order.dtype.min)
    top = tf.math.unsorted_segment_max(masked, request, requests)
    parts = counts * tf.exp(tf.minimum(order - tf.gather(top, request), 0.0))
    total = tf.math.unsorted_segment_sum(parts, request, requests)
    mean = tf.math.unsorted_segment_sum(parts * order, request, requests) / tf.maximum(total, 1.0)
    whole = top + tf.math.log(tf.maximum(total, 1.0))
    found = tf.stack([whole, top - whole, whole - mean], axis=1)
    return tf.where(total[:, tf.newaxis] > 0, found, 0.0)


class Level(keras.layers.Layer):
    """The logit of P(engaged): slope · log softmax of the order + level, both of the request.

    A softmax shares one thing taken among the candidates, however many and however alike they are; the level says how
    many are taken, the slope how sure the order is. A slope is positive, so the order of a request stays what it is.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.normalise = Normalise(name="normalise")
        self.of_gauge = keras.layers.Dense(2, kernel_initializer="zeros", name="of_gauge")
        self.hidden = keras.layers.Dense(HIDDEN, "tanh", name="hidden")
        self.of_state = keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False, name="of_state")

    def call(self, order: tf.Tensor, request: tf.Tensor, gauges: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        """Logits `[candidates]`.

        Args:
            order: `[candidates] float32`.
            request: `[candidates] int64`.
            gauges: `[requests, 3]`, what `gauge` says of all candidates of each request.
            state: `[requests, width]`, who asks, when, and what the candidates are like.
        """
        both = self.of_gauge(self.normalise(gauges[:, 1:]))
        slope = tf.exp(SHARPEST * tf.tanh(both[:, 0] / SHARPEST))
        level = both[:, 1] + self.of_state(tf.concat([state, self.hidden(state)], -1))[:, 0]
        return tf.gather(slope, request) * (order - tf.gather(gauges[:, 0], request)) + tf.gather(level, request)

    def state_variables(self) -> list[tf.Variable]:
        """What is learned of the state."""
        return [*self.hidden.trainable_variables, *self.of_state.trainable_variables]
