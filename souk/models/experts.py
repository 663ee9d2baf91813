"""The body of the ranker: crosses, and experts that all heads share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf
from keras_rs.layers import FeatureCross

from souk.config import TrainRanker

CROSS = 16  # rank of a cross


class Cross(FeatureCross):
    """keras_rs' FeatureCross, whose inner layers get names of their own: counted ones differ from run to run."""

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Names the inner layers before their variables exist."""
        super().build(input_shape)
        self.down_proj_dense.name, self.dense.name = "down", "up"


class Experts(keras.layers.Layer):
    """Experts that all heads share, mixed by a gate for each head (Ma et al. 2018, MMoE, eq. 6 and 7)."""

    def __init__(self, config: TrainRanker, heads: Sequence[str], name: str) -> None:
        super().__init__(name=name)
        self.crosses = [Cross(projection_dim=CROSS, name=f"cross_{i}") for i in range(config.cross_layers)]
        self.experts = [
            keras.Sequential(
                [keras.layers.Dense(size, "silu", name=f"hidden_{i}") for i, size in enumerate(config.hidden)],
                name=f"expert_{e}",
            )
            for e in range(config.experts)
        ]
        self.drop = keras.layers.Dropout(config.dropout, name="drop")
        self.gates = {head: keras.layers.Dense(config.experts, "softmax", name=f"gate_{head}") for head in heads}
        self.heads = {head: keras.layers.Dense(1, kernel_initializer="zeros", name=head) for head in heads}
        self._settled = False

    def call(self, first: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """`[rows, width]` → what to add to each head's logit, `[rows]`; zeros before training."""
        x = first
        for cross in self.crosses:  # Wang et al. 2021, DCN-v2, eq. 2 with a matrix of low rank
            x = cross(first, x)
        if self._settled:
            return self._at_once(x)
        stacked = tf.stack([expert(self.drop(x, training=training)) for expert in self.experts], axis=1)
        return {
            name: head(tf.einsum("rew,re->rw", stacked, self.gates[name](x)))[:, 0] for name, head in self.heads.items()
        }

    @contextmanager
    def settled(self) -> Iterator[None]:
        """What is traced meanwhile multiplies less often, by larger matrices: a head is linear, so it may look at each
        expert before they are mixed."""
        self._settled = all(len(expert.layers) == 1 for expert in self.experts)
        try:
            yield
        finally:
            self._settled = False

    def _at_once(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        count, gates = len(self.experts), [self.gates[name] for name in self.heads]
        kernel, bias = joined(self.heads.values())
        votes = tf.eye(count)[:, None, None, :] * kernel[None, :, :, None]  # [expert, width, head, expert]
        votes = tf.reshape(votes, [count * kernel.shape[0], len(self.heads) * count])
        shape = [-1, len(self.heads), count]
        found = tf.nn.silu(product(x, [expert.layers[0] for expert in self.experts])) @ votes
        shares = tf.nn.softmax(tf.reshape(product(x, gates), shape))
        logits = tf.reduce_sum(tf.reshape(found, shape) * shares, -1) + bias
        return {name: logits[:, h] for h, name in enumerate(self.heads)}


def joined(layers: Iterable[keras.layers.Dense]) -> tuple[tf.Tensor, tf.Tensor]:
    """The kernel and the bias of one layer that gives what these do, one after the other."""
    layers = list(layers)
    return tf.concat([layer.kernel for layer in layers], 1), tf.concat([layer.bias for layer in layers], 0)


def product(x: tf.Tensor, layers: Iterable[keras.layers.Dense]) -> tf.Tensor:
    """`[rows, columns]`: what each of these layers makes of x, before its activation, one after the other."""
    kernel, bias = joined(layers)
    return x @ kernel + bias
