"""AdamW that moves only the rows of a table that a batch looked up: a step costs what the batch holds, not what the
catalogue holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
CLIP = 1.0  # the longest that the gradient of one variable may be


class RowAdamW:
    """AdamW (Loshchilov and Hutter 2019), lazy where the gradient is of single rows.

    A dense gradient goes to `keras.optimizers.AdamW`. A gradient of rows (`tf.IndexedSlices`, from a look-up) moves
    these rows alone: their moments, their decay and their weights; the moments of the others stand still, as in
    TensorFlow Addons' LazyAdam. The correction of the moments' bias counts all steps.

    Args:
        variables: what is trained.
        weight_decay: share of a weight that a step of rate 1 takes away.
    """

    def __init__(self, variables: Sequence[Any], weight_decay: float) -> None:
        self.variables = list(variables)
        self._decay = weight_decay
        self._dense = keras.optimizers.AdamW(1.0, weight_decay=weight_decay, clipnorm=CLIP)
        self._step = tf.Variable(0.0, trainable=False)
        self._moments: dict[int, tuple[tf.Variable, tf.Variable]] = {}  # by place in `variables`: names may repeat
        self.learning_rate = tf.Variable(0.0, trainable=False)

    @property
    def state(self) -> list[tf.Variable]:
        """All variables of the optimiser itself; those of rows are there after the first step was traced."""
        moments = [variable for place in sorted(self._moments) for variable in self._moments[place]]
        return [self._step, *moments, *self._dense.variables]

    def apply(self, gradients: Sequence[Any]) -> None:
        """Moves the variables by one step; one without a gradient stays."""
        self._step.assign_add(1.0)
        self._dense.learning_rate.assign(self.learning_rate)
        dense = []
        for place, (gradient, variable) in enumerate(zip(gradients, self.variables, strict=True)):
            if isinstance(gradient, tf.IndexedSlices):
                self._move_rows(place, variable, gradient)
            elif gradient is not None:
                dense.append((gradient, variable))
        if dense:
            self._dense.apply_gradients(dense)

    def _move_rows(self, place: int, variable: Any, gradient: tf.IndexedSlices) -> None:
        if place not in self._moments:
            with tf.init_scope():  # inside a traced function, variables must be created outside of the graph
                zeros = tf.zeros(variable.shape)
                self._moments[place] = (
                    tf.Variable(zeros, trainable=False),
                    tf.Variable(zeros, trainable=False),
                )
        rows, where = tf.unique(gradient.indices)
        slope = tf.math.unsorted_segment_sum(gradient.values, where, tf.size(rows))
        slope = tf.clip_by_norm(slope, CLIP)
        mean, square = self._moments[place]
        first = BETA_1 * tf.gather(mean, rows) + (1 - BETA_1) * slope
        second = BETA_2 * tf.gather(square, rows) + (1 - BETA_2) * tf.square(slope)
        mean.scatter_update(tf.IndexedSlices(first, rows))
        square.scatter_update(tf.IndexedSlices(second, rows))
        scale = tf.sqrt(1 - tf.pow(BETA_2, self._step)) / (1 - tf.pow(BETA_1, self._step))
        weights = variable.value
        move = scale * first / (tf.sqrt(second) + EPSILON) + self._decay * tf.gather(weights, rows)
        weights.scatter_sub(tf.IndexedSlices(self.learning_rate * move, rows))
