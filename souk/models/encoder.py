"""The sequence encoder: a causal transformer with gates."""

from __future__ import annotations

import math

import keras
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
        self.blocks = [Block(heads, dim, dropout, name=f"block_{i}") for i in range(layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def call(self, tokens: tf.Tensor, at: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`, or `[rows, queries, dim]` of the places `at` alone.

        Args:
            tokens: the sequences.
            at: `[rows, queries] int64`; the last block does nothing for the others, which makes up half of a request.
            training: whether to drop.
        """
        x = self.drop(tokens + self.positions(tf.range(tf.shape(tokens)[1])), training=training)
        near = distances(tf.shape(tokens)[1])
        for block in self.blocks[:-1]:
            x = block(x, near, training=training)
        for block in self.blocks[-1:]:
            x = block(x, near, at, training=training)
        return self.norm(x if self.blocks or at is None else tf.gather(x, at, batch_dims=1))


class Block(keras.layers.Layer):
    """Causal attention, then a gated linear unit, each added to its input as far as a gate lets it.

    x + σ(x W) ∘ f(norm(x)): LiGR (Borisyuk et al. 2025, section 4), with SwiGLU (Shazeer 2020) as the second f.
    """

    def __init__(self, heads: int, dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.attend_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="attend_norm")
        self.attend = CausalAttention(heads, dim, name="attend")
        self.attend_gate = keras.layers.Dense(dim, activation="sigmoid", name="attend_gate")
        self.widen_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="widen_norm")
        self.widen = keras.layers.Dense(4 * dim, name="widen")
        self.narrow = keras.layers.Dense(dim, name="narrow")
        self.widen_gate = keras.layers.Dense(dim, activation="sigmoid", name="widen_gate")
        self.drop = keras.layers.Dropout(dropout, name="drop")

    def call(self, x: tf.Tensor, near: tf.Tensor, at: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` and distances `[length, length]` → `[rows, length, dim]`, or `at` some places alone."""
        attended = self.attend(self.attend_norm(x), near, at, training=training)
        x = x if at is None else tf.gather(x, at, batch_dims=1)
        x += self.attend_gate(x) * self.drop(attended, training=training)
        gate, value = tf.split(self.widen(self.widen_norm(x)), 2, axis=-1)
        return x + self.widen_gate(x) * self.drop(self.narrow(tf.nn.silu(gate) * value), training=training)


class CausalAttention(keras.layers.Layer):
    """softmax(Q Kᵀ / √d + b) V by head, each position over those up to itself.

    b is learned by head and distance, in buckets that widen with it (Raffel et al. 2020, section 2.1). Keras'
    MultiHeadAttention takes twice the time here: three projections, and dropout over every pair of positions.
    """

    def __init__(self, heads: int, dim: int, name: str) -> None:
        super().__init__(name=name)
        self.heads, self.dim = heads, dim
        self.project = keras.layers.Dense(3 * dim, name="project")
        self.out = keras.layers.Dense(dim, name="out")

    def build(self, *_: object) -> None:
        """Creates the biases."""
        self.bias = self.add_weight(shape=(BUCKETS, self.heads), initializer="zeros", name="bias")

    def call(self, x: tf.Tensor, near: tf.Tensor, at: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` and distances `[length, length]` → `[rows, length, dim]`, or `at` some places alone."""
        rows, length, size = tf.shape(x)[0], tf.shape(x)[1], self.dim // self.heads
        split = tf.reshape(self.project(x), [rows, length, 3, self.heads, size])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), num=3)
        if at is not None:
            query = tf.gather(query, tf.tile(at[:, tf.newaxis], [1, self.heads, 1]), batch_dims=2)
            near = tf.gather(near, at)
        scores = tf.matmul(query * size**-0.5, key, transpose_b=True) + self._bias(near, training)
        attended = tf.matmul(tf.nn.softmax(scores), value)
        places = length if at is None else tf.shape(at)[1]
        return self.out(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [rows, places, self.dim]))

    def _bias(self, near: tf.Tensor, training: bool) -> tf.Tensor:
        """What to add to the scores by distance: `[length, length]` → `[heads, length, length]`, `[rows, queries,
        length]` → `[rows, heads, queries, length]`."""
        known = tf.maximum(near, 0)
        if near.shape.rank == 3:
            bias, near = tf.transpose(tf.gather(self.bias, known), [0, 3, 1, 2]), near[:, tf.newaxis]
        elif training:  # a product with one-hot columns: the gradient of a gather would be a sum over each pair
            every = tf.one_hot(tf.reshape(known, [-1]), BUCKETS, axis=0)
            bias = tf.reshape(tf.matmul(self.bias, every, transpose_a=True), [self.heads, *tf.unstack(tf.shape(near))])
        else:
            bias = tf.gather(tf.transpose(self.bias), known, axis=1)
        return tf.where(near >= 0, bias, MASKED)


def distances(length: tf.Tensor) -> tf.Tensor:
    """The bucket of each pair's distance, `[length, length] int32`: row sees column; -1 where it must not."""
    places = tf.range(length)
    back = places[:, tf.newaxis] - places[tf.newaxis, :]
    doublings = tf.math.log(tf.maximum(tf.cast(back, tf.float32), 1.0) / NEAR) / math.log(2.0)
    far = tf.minimum(NEAR + tf.cast(4 * tf.maximum(doublings, 0.0), tf.int32), BUCKETS - 1)
    return tf.where(back < 0, -1, tf.where(back < NEAR, back, far))
