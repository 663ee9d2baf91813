"""Layers that turn pair features into what a ranker of few examples learns from."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.models.inputs import BOUND

KNOTS = (0.5, 0.8, 0.95, 0.99)  # quantiles at which a slope may change
SMALLEST = 1e-2  # deviation within a request below which a feature does not tell its candidates apart
CONSTANT = 1e-4  # share of its mean below which a column's deviation is that of rounding


class Normalise(keras.layers.Layer):
    """(x - mean) / deviation, with statistics of the training pairs."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the statistics."""
        self.mean = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(shape[-1],), initializer="ones", trainable=False, name="deviation")

    def adapt(self, values: np.ndarray, inside: np.ndarray | None = None) -> None:
        """Takes the statistics of `values [..., columns]`, where a mask `inside [...]` is given of those in it.

        A nearly constant column keeps deviation 1. It holds one column at a time: the pairs of all examples are most of
        what training the ranker holds.
        """
        found = []
        for number in range(values.shape[-1]):
            column = values[..., number] if inside is None else values[..., number][inside]
            column = column.astype(np.float64)  # a sum in float32 makes a constant vary
            found.append((np.mean(column), np.std(column)))
        mean, deviation = np.array(found).T
        self.mean.assign(mean)
        self.deviation.assign(np.where(deviation > CONSTANT * np.abs(mean), deviation, 1.0))

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """`[rows, columns]` → the same, bounded."""
        return tf.clip_by_value((values - self.mean) / self.deviation, -BOUND, BOUND)


def among(values: Any, mean: Any, deviation: Any) -> Any:
    """(values - mean) / deviation, bounded, and less of it the nearer the deviation is to SMALLEST, any shape.

    The mean of equal values is not quite theirs, and by how much depends on who sums: what divides by their deviation
    makes features of rounding. Here a constant is 0, and nothing counts for more than 1 / (2 * SMALLEST) times what it
    is.
    """
    return tf.clip_by_value((values - mean) * (deviation / (deviation**2 + SMALLEST**2)), -BOUND, BOUND)


class Relative(keras.layers.Layer):
    """How a candidate's features stand among those of its request: the scale of a week ago is that of today."""

    def spread(self, values: tf.Tensor, request: tf.Tensor, requests: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and deviation over the candidates of each request, `[requests, columns]` each.

        Args:
            values: `[candidates, columns] float32`.
            request: `[candidates] int64`.
            requests: how many there are.
        """
        mean = tf.math.unsorted_segment_mean(values, request, requests)
        rest = values - tf.gather(mean, request)
        both = tf.math.unsorted_segment_mean(tf.concat([rest, tf.square(rest)], -1), request, requests)
        missed, square = tf.split(both, 2, axis=-1)  # what the sum of many large values lost
        return mean + missed, tf.sqrt(tf.maximum(square - tf.square(missed), 0.0))

    def call(self, values: tf.Tensor, mean: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
        """`among`, `[candidates, columns]`."""
        return among(values, mean, deviation)


class Hinges(keras.layers.Layer):
    """max(0, x - knot) at quantiles of each column: a sum of them is any piecewise linear function."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the knots, at first out of reach."""
        out = keras.initializers.Constant(BOUND)
        self.knots = self.add_weight(shape=(shape[-1], len(KNOTS)), initializer=out, trainable=False, name="knots")

    def adapt(self, values: np.ndarray) -> None:
        """Takes the quantiles of `values [rows, columns]`; where two are the same, one is out of reach."""
        knots = np.quantile(values, KNOTS, axis=0).T
        again = np.zeros(knots.shape, bool)
        again[:, 1:] = np.diff(knots, axis=1) < 1e-3
        self.knots.assign(np.where(again, BOUND, knots))

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """`[rows, columns]` → `[rows, columns × knots]`."""
        spread = np.repeat(np.eye(self.knots.shape[0], dtype=np.float32), len(KNOTS), axis=1)  # a product is quicker
        return tf.nn.relu(values @ spread - tf.reshape(self.knots, [-1]))
