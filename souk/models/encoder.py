"""The sequence encoder: a causal transformer with gates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

MASKED = -1e9
NEAR = 16  # distances below it have a bias of their own
BUCKETS = 32  # biases by distance: beyond NEAR, four to each doubling


class CausalEncoder(keras.layers.Layer):
    """Self-attention in which each token sees itself and those before it (Kang and McAuley 2018, SASRec).

    Padding stands at the end, so no token ever sees it.

    Args:
        length: the longest sequence.
        layers: how many blocks.
        heads: attention heads a block.
        dim: width of a token.
        dropout: share of values dropped in training.
    """

    def __init__(self, length: int, layers: int, heads: int, dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.positions = keras.layers.Embedding(length, dim, embeddings_initializer=normal, name="positions")
        self.drop = keras.layers.Dropout(dropout, name="drop")
        self.blocks = [Block(length, heads, dim, dropout, name=f"block_{i}") for i in range(layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    @contextmanager
    def settled(self) -> Iterator[None]:
        """What is traced meanwhile takes the biases of distances as they are now, and computes none."""
        try:
            for block in self.blocks:
                block.attend.settle()
            yield
        finally:
            for block in self.blocks:
                block.attend.unsettle()

    def call(self, tokens: tf.Tensor, at: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`, or `[rows, queries, dim]` of the places `at` alone.

        Args:
            tokens: the sequences.
            at: `[rows, queries] int64`; the last block does nothing for the others, which makes up half of a request.
            training: whether to drop.
        """
        x = self.drop(tokens + self.positions(tf.range(tf.shape(tokens)[1])), training=training)
        for block in self.blocks[:-1]:
            x = block(x, training=training)
        for block in self.blocks[-1:]:
            x = block(x, at, training=training)
        return self.norm(x if self.blocks or at is None else tf.gather(x, at, batch_dims=1))


class Block(keras.layers.Layer):
    """Causal attention, then a gated linear unit, each added to its input as far as a gate lets it.

    x + σ(x W) ∘ f(norm(x)): LiGR (Borisyuk et al. 2025, section 4), with SwiGLU (Shazeer 2020) as the second f.
    """

    def __init__(self, length: int, heads: int, dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.attend_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="attend_norm")
        self.attend = CausalAttention(length, heads, dim, name="attend")
        self.attend_gate = keras.layers.Dense(dim, activation="sigmoid", name="attend_gate")
        self.widen_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="widen_norm")
        self.widen = keras.layers.Dense(4 * dim, name="widen")
        self.narrow = keras.layers.Dense(dim, name="narrow")
        self.widen_gate = keras.layers.Dense(dim, activation="sigmoid", name="widen_gate")
        self.drop = keras.layers.Dropout(dropout, name="drop")

    def call(self, x: tf.Tensor, at: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`, or `at` some places alone."""
        attended = self.attend(self.attend_norm(x), at)
        x = x if at is None else tf.gather(x, at, batch_dims=1)
        x += self.attend_gate(x) * self.drop(attended, training=training)
        gate, value = tf.split(self.widen(self.widen_norm(x)), 2, axis=-1)
        return x + self.widen_gate(x) * self.drop(self.narrow(tf.nn.silu(gate) * value), training=training)


class CausalAttention(keras.layers.Layer):
    """softmax(Q Kᵀ / √d + b) V by head, each position over those up to itself.

    b is learned by head and distance, in buckets that widen with it (Raffel et al. 2020, section 2.1). Keras'
    MultiHeadAttention takes twice the time here: three projections, and dropout over every pair of positions.
    """

    def __init__(self, length: int, heads: int, dim: int, name: str) -> None:
        super().__init__(name=name)
        self.heads, self.dim = heads, dim
        self.project = keras.layers.Dense(3 * dim, name="project")
        self.out = keras.layers.Dense(dim, name="out")
        self._buckets = np.eye(BUCKETS, dtype=np.float32)[buckets(length)]
        self._settled: np.ndarray | None = None  # `[heads, length, length]`, while the biases are to be constants

    def build(self, *_: object) -> None:
        """Creates the biases."""
        self.bias = self.add_weight(shape=(BUCKETS, self.heads), initializer="zeros", name="bias")

    def call(self, x: tf.Tensor, at: tf.Tensor | None = None) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`, or `at` some places alone."""
        rows, length, size = tf.shape(x)[0], tf.shape(x)[1], self.dim // self.heads
        split = tf.reshape(self.project(x), [rows, length, 3, self.heads, size])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), num=3)
        if at is not None:
            query = tf.gather(query, tf.tile(at[:, tf.newaxis], [1, self.heads, 1]), batch_dims=2)
        bias = self._biases(length) if at is None else self._biases_at(at, length)
        scores = tf.matmul(query * size**-0.5, key, transpose_b=True) + bias
        attended = tf.matmul(tf.nn.softmax(scores), value)
        places = length if at is None else tf.shape(at)[1]
        return self.out(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [rows, places, self.dim]))

    def settle(self) -> None:
        """Computes the biases of the longest sequence, which those of all others are a part of."""
        self._settled = self._biases(tf.constant(len(self._buckets))).numpy()

    def unsettle(self) -> None:
        """They are computed again for each call."""
        self._settled = None

    def _by_distance(self, length: tf.Tensor) -> tf.Tensor:
        """The biases of the distances 0 to `length - 1`, `[length, heads]`."""
        return tf.constant(self._buckets)[:length] @ self.bias  # a product: a gather has the gradient of a sparse table

    def _biases(self, length: tf.Tensor) -> tf.Tensor:
        """What to add to the scores, `[heads, length, length]`: row sees column, or not.

        Each row is the one before it, shifted by one. So it is read from one line of 2 * length biases, repeated,
        which gets one shorter with each row.
        """
        if self._settled is not None:
            return tf.constant(self._settled)[:, :length, :length]
        near = tf.transpose(self._by_distance(length))
        line = tf.concat([near[:, :1], tf.fill([self.heads, length], MASKED), tf.reverse(near[:, 1:], [1])], 1)
        rows = tf.tile(line, [1, length])[:, : length * (2 * length - 1)]
        return tf.reshape(rows, [self.heads, length, 2 * length - 1])[:, :, :length]

    def _biases_at(self, at: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """The rows `at [rows, queries]` of `_biases`, `[rows, heads, queries, length]`."""
        if self._settled is not None:
            rows = tf.gather(tf.constant(self._settled.swapaxes(0, 1)), at)
            return tf.transpose(rows, [0, 2, 1, 3])[..., :length]
        back = at[:, :, tf.newaxis] - tf.range(length, dtype=at.dtype)
        bias = tf.gather(self._by_distance(length), tf.maximum(back, 0))
        return tf.where(back[:, tf.newaxis] < 0, MASKED, tf.transpose(bias, [0, 3, 1, 2]))


def buckets(length: int) -> np.ndarray:
    """The buckets of the distances 0 to `length - 1`, `[length] int64`."""
    back = np.arange(length)
    doublings = np.log2(np.maximum(back, NEAR) / NEAR)
    return np.where(back < NEAR, back, np.minimum(NEAR + (4 * doublings).astype(np.int64), BUCKETS - 1))
