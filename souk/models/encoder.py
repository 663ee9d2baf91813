"""The sequence encoder: a causal transformer."""

from __future__ import annotations

import keras
import tensorflow as tf

MASKED = -1e9


class CausalEncoder(keras.layers.Layer):
    """Pre-norm self-attention in which each token sees itself and those before it (Kang and McAuley 2018, SASRec).

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
        self.positions = keras.layers.Embedding(length, dim, name="positions")
        self.drop = keras.layers.Dropout(dropout, name="drop")
        self.blocks = [Block(heads, dim, dropout, name=f"block_{i}") for i in range(layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def call(self, tokens: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`."""
        x = self.drop(tokens + self.positions(tf.range(tf.shape(tokens)[1])), training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self.norm(x)


class Block(keras.layers.Layer):
    """Causal attention, then two dense layers, each added to its input."""

    def __init__(self, heads: int, dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.attend_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="attend_norm")
        self.attend = CausalAttention(heads, dim, name="attend")
        self.widen_norm = keras.layers.LayerNormalization(epsilon=1e-6, name="widen_norm")
        self.widen = keras.layers.Dense(2 * dim, activation="silu", name="widen")
        self.narrow = keras.layers.Dense(dim, name="narrow")
        self.drop = keras.layers.Dropout(dropout, name="drop")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`."""
        x += self.drop(self.attend(self.attend_norm(x)), training=training)
        return x + self.drop(self.narrow(self.widen(self.widen_norm(x))), training=training)


class CausalAttention(keras.layers.Layer):
    """softmax(Q Kᵀ / √d) V by head, each position over those up to itself.

    Keras' MultiHeadAttention takes twice the time here: three projections, and dropout over every pair of positions.
    """

    def __init__(self, heads: int, dim: int, name: str) -> None:
        super().__init__(name=name)
        self.heads, self.dim = heads, dim
        self.project = keras.layers.Dense(3 * dim, name="project")
        self.out = keras.layers.Dense(dim, name="out")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """`[rows, length, dim]` → `[rows, length, dim]`."""
        rows, length, size = tf.shape(x)[0], tf.shape(x)[1], self.dim // self.heads
        split = tf.reshape(self.project(x), [rows, length, 3, self.heads, size])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), num=3)
        scores = tf.matmul(query, key, transpose_b=True) * size**-0.5
        causal = tf.linalg.band_part(tf.ones([length, length], tf.bool), -1, 0)
        attended = tf.matmul(tf.nn.softmax(tf.where(causal, scores, MASKED)), value)
        return self.out(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [rows, length, self.dim]))
