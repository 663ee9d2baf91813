"""The ranker: what the candidates of a request are worth, by objective."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf
from keras_rs.layers import FeatureCross

from souk.config import TrainRanker
from souk.models.inputs import FeatureEncoder
from souk.models.towers import TowerShape
from souk.pairs import PAIR_FEATURES

Inputs = Mapping[str, tf.Tensor]
EMBEDDING = 32  # bound of the width of a feature's embedding is half of it
IDS = ("user_id", "item_id")  # names teach a ranker of few examples to memorise; the towers know them
HEADS = ("engaged", "satisfied")
SCORE = PAIR_FEATURES.index("score")


class Normalise(keras.layers.Layer):
    """(x - mean) / deviation, with statistics of the training pairs."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Creates the statistics."""
        self.mean = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(shape[-1],), initializer="ones", trainable=False, name="deviation")

    def adapt(self, values: tf.Tensor) -> None:
        """Takes the statistics of `values [rows, columns]`; a constant column keeps deviation 1."""
        self.mean.assign(tf.reduce_mean(values, 0))
        deviation = tf.math.reduce_std(values, 0)
        self.deviation.assign(tf.where(deviation > 1e-6, deviation, tf.ones_like(deviation)))

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """`[rows, columns]` → the same; bounded, so that no value that training never saw can blow up a score."""
        return tf.clip_by_value((values - self.mean) / self.deviation, -8.0, 8.0)


class Cross(FeatureCross):
    """keras_rs' FeatureCross, whose inner layers get names of their own: counted ones differ from run to run."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Names the inner layers before their variables exist."""
        super().build(input_shape)
        self.down_proj_dense.name, self.dense.name = "down", "up"


class Ranker(keras.layers.Layer):
    """Two heads over one body.

    The body is a deep and cross network (Wang et al. 2021, DCN-v2). The engaged head adds a multiple of the retrieval
    score to what it makes of the body, so that a ranker that has learned nothing keeps the order of retrieval.
    """

    def __init__(self, shape: TowerShape, config: TrainRanker) -> None:
        super().__init__(name="ranker")
        self.users = FeatureEncoder(shape.of("user", *IDS), EMBEDDING, name="users")
        self.moments = FeatureEncoder(shape.of("query"), EMBEDDING, name="moments")
        self.items = FeatureEncoder(shape.of("item", *IDS), EMBEDDING, name="items")
        self.normalise = Normalise(name="normalise")
        self.crosses = [Cross(projection_dim=EMBEDDING, name=f"cross_{i}") for i in range(config.cross_layers)]
        self.hidden = [keras.layers.Dense(size, "silu", name=f"hidden_{i}") for i, size in enumerate(config.hidden)]
        self.drop = keras.layers.Dropout(config.dropout, name="drop")
        self.heads = {name: keras.layers.Dense(1, kernel_initializer="zeros", name=name) for name in HEADS}

    def build(self, *_: object) -> None:
        """Creates the weight of the retrieval score."""
        self.pass_through = self.add_weight(shape=(), initializer="ones", name="pass_through")

    def call(
        self, user: Inputs, query: Inputs, item: Inputs, pair: tf.Tensor, request: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Logits by head, before calibration.

        Args:
            user: transformed user features, `[requests]` or `[requests, length]`.
            query: transformed query features, `[requests]`.
            item: transformed item features, `[candidates]` or `[candidates, length]`.
            pair: `[candidates, P] float32`.
            request: `[candidates] int64`.
            training: whether to drop.

        Returns:
            `engaged` and `satisfied`, `[candidates] float32`.
        """
        pair = self.normalise(pair)
        asked = tf.concat(
            [encode(values) for encode, values in ((self.users, user), (self.moments, query)) if encode.features], -1
        )
        parts = [tf.gather(asked, request), pair]
        if self.items.features:
            parts.append(self.items(item))
        first = x = tf.concat(parts, -1)
        for cross in self.crosses:
            x = cross(first, x)
        for hidden in self.hidden:
            x = self.drop(hidden(x), training=training)
        logits = {name: head(x)[:, 0] for name, head in self.heads.items()}
        return logits | {"engaged": logits["engaged"] + self.pass_through * pair[:, SCORE]}


def listwise_loss(logits: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
    """The mean over lists of the softmax cross-entropy of the positive among its negatives (Cao et al. 2007, ListNet).

    Args:
        logits: `[lists, candidates] float32`, the positive first.
        positive: `[lists] float32`, weight of each list; 0 leaves it out.
    """
    losses = tf.reduce_logsumexp(logits, axis=1) - logits[:, 0]
    return tf.reduce_sum(losses * positive) / tf.maximum(tf.reduce_sum(positive), 1.0)


def satisfied_loss(logits: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    """The mean cross-entropy of the satisfaction of engaged examples.

    Args:
        logits: `[lists] float32`, of the positives.
        label: `[lists] int64`: 1, 0, or -1 where it is not known.
    """
    known = tf.cast(label >= 0, tf.float32)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(label, tf.float32) * known, logits)
    return tf.reduce_sum(losses * known) / tf.maximum(tf.reduce_sum(known), 1.0)
