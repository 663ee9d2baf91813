"""The two towers: a query and an item become vectors whose dot product says how well they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from souk.config import TrainTwoTower
from souk.models.encoder import CausalEncoder
from souk.models.inputs import UNKNOWN, FeatureEncoder, TransformedFeature

Inputs = Mapping[str, tf.Tensor]
AMONG = 16_384  # known items to which a new one may lean; the item tower has them again: 8 MB where `dim` is 64
LEAN, LENGTH = 1.0, 0.94  # of new items, where nothing is known of what known ones can afford
BREADTH = 0.02  # by which a neighbour's cosine is less where it counts a third


@dataclass(frozen=True)
class TowerShape:
    """What the towers' sizes follow from, besides the config.

    Args:
        features: all transformed features.
        history_length: the padded length of a history, in tokens.
    """

    features: tuple[TransformedFeature, ...]
    history_length: int

    def of(self, entity: str, *without: str) -> tuple[TransformedFeature, ...]:
        """The features of an entity, but those named in `without`."""
        return tuple(f for f in self.features if f.entity == entity and f.name not in without)

    def size(self, name: str) -> int:
        """The ids of the feature `name`."""
        return next(f.size for f in self.features if f.name == name)


class IdTable(keras.layers.Layer):
    """Embeds ids; those that training never saw, and in training a random share, are the one unknown id.

    Args:
        size: how many ids.
        dim: width of the embedding.
        dropout: share of ids that training hides, so that the unknown id learns to stand for any.
    """

    def __init__(self, size: int, dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.size, self.dim, self.dropout = size, dim, dropout
        self.random = keras.random.SeedGenerator(name="random")

    def build(self, _: object) -> None:
        """Creates the table, and `seen`: 1 for each id that training saw."""
        normal = keras.initializers.RandomNormal(stddev=self.dim**-0.5)
        self.table = self.add_weight(shape=(self.size, self.dim), initializer=normal, name="table")
        self.seen = self.add_weight(shape=(self.size,), initializer="zeros", trainable=False, name="seen")

    def call(self, ids: tf.Tensor, training: bool = False, hide: bool = True) -> tf.Tensor:
        """`[...] int64` → `[..., dim]`; `hide` says whether training may hide ids."""
        known = tf.gather(self.seen.value, ids) > 0
        if training and hide and self.dropout:
            known &= keras.random.uniform(tf.shape(ids), seed=self.random) >= self.dropout
        return tf.gather(self.table.value, tf.where(known, ids, UNKNOWN))


class Perceptron(keras.layers.Layer):
    """Two dense layers, `[..., any]` → `[..., dim]`."""

    def __init__(self, dim: int, dropout: float, name: str) -> None:
        super().__init__(name=name)
        self.hidden = keras.layers.Dense(2 * dim, activation="silu", name="hidden")
        self.drop = keras.layers.Dropout(dropout, name="drop")
        self.out = keras.layers.Dense(dim, name="out")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.out(self.drop(self.hidden(x), training=training))


class ItemTower(keras.layers.Layer):
    """What an item is called and what it is made of: the sum of its id's embedding and its content's.

    An item that training never saw is its content, and leans to the known items of the nearest content (a mapping by
    neighbours, Gantner et al. 2010, with a smooth kernel, so that rounding decides nothing). Without it, known items,
    whose own embeddings stand out, leave a new one no place among all, however well it suits. Where it leans far, a
    length below 1 gives known items back what it would take from them; the order among new ones is the same.
    """

    def __init__(self, shape: TowerShape, config: TrainTwoTower, items: IdTable) -> None:
        super().__init__(name="item_tower")
        self.items = items
        content = shape.of("item", "item_id")
        self.features = FeatureEncoder(content, config.dim, name="features") if content else None
        self.content = Perceptron(config.dim, config.dropout, name="content")
        self.dim, self._lean = config.dim, config.new_item_lean
        self.among = min(items.size, AMONG) if self._lean else 0

    def build(self, _: object) -> None:
        """Creates what new items lean to; nothing until a fit has ended."""
        if self.among:
            made = partial(self.add_weight, shape=(self.among, self.dim), initializer="zeros", trainable=False)
            self.known_content, self.known_vectors = made(name="known_content"), made(name="known_vectors")
            lean, length = (LEAN, LENGTH) if self._lean == "auto" else (self._lean, 1.0)
            made = partial(self.add_weight, shape=(), trainable=False)
            self.lean = made(initializer=keras.initializers.Constant(lean), name="lean")
            self.length = made(initializer=keras.initializers.Constant(length), name="length")

    def call(self, item: Inputs, training: bool = False) -> tf.Tensor:
        """Transformed item features `[...]` or `[..., length]` → `[..., dim]`: unit vectors, of new items shorter."""
        vector = self._own(item, training)
        if training or not self._leans():
            return vector
        new = tf.where(tf.gather(self.items.seen, item["item_id"]) == 0)
        return tf.tensor_scatter_nd_update(vector, new, self._leaning(tf.gather_nd(vector, new)))

    def _leans(self) -> bool:
        """Whether new items lean at all: before a fit has ended a judge need not pay for it."""
        return self.among > 0 and not (tf.executing_eagerly() and not np.any(self.known_vectors.value[0]))

    def _own(self, item: Inputs, training: bool = False) -> tf.Tensor:
        vector = self.items(item["item_id"], training=training)
        if self.features is not None:
            vector += self.content(self.features(item), training=training)
        return tf.math.l2_normalize(vector, axis=-1)

    def _leaning(self, content: tf.Tensor) -> tf.Tensor:
        """`[new, dim]`: unit vectors of content alone, moved towards the mean of their neighbours by `lean`, and
        `length` long."""
        near = tf.matmul(content, self.known_content.value, transpose_b=True)
        neighbours = tf.matmul(tf.nn.softmax(near / BREADTH), self.known_vectors.value)
        moved = content + self.lean.value * tf.math.l2_normalize(neighbours, axis=-1)
        return self.length.value * tf.math.l2_normalize(moved, axis=-1)

    def lean_by(self, lean: float | Literal["auto"], length: float = 1.0) -> None:
        """Says how far new items lean, and how long they are; `auto` leaves it as it is."""
        if self.among and lean != "auto":
            self.lean.assign(lean)
            self.length.assign(length)

    @property
    def leaning(self) -> tuple[float, float]:
        """How far new items lean, and how long they are."""
        return (float(self.lean.value), float(self.length.value)) if self.among else (0.0, 1.0)

    def lean_to(self, features: Inputs, taken: np.ndarray) -> None:
        """Says to what new items lean: to the AMONG most taken ones. Rows of zeros fill up, which lead nowhere.

        Args:
            features: transformed, of all items `[items, ...]`.
            taken: `[items]`, how often each was a target of the fit.
        """
        if not self.among:
            return
        rows = np.argsort(-taken, kind="stable")[: min(self.among, np.count_nonzero(taken))]
        own, unknown = {name: tf.gather(values, rows) for name, values in features.items()}, as_new(features, rows)
        fill = [[0, self.among - len(rows)], [0, 0]]
        self.known_content.assign(tf.pad(self._own(unknown), fill))
        self.known_vectors.assign(tf.pad(self._own(own), fill))


def as_new(features: Inputs, rows: np.ndarray) -> dict[str, tf.Tensor]:
    """The features of some items without their ids."""
    own = {name: tf.gather(values, rows) for name, values in features.items()}
    return own | {"item_id": tf.fill([len(rows)], tf.constant(UNKNOWN, tf.int64))}


class QueryTower(keras.layers.Layer):
    """Who asks, after which events, when.

    The encoder reads a row's tokens once; the query that sees the first n of them takes its output at token n - 1,
    or a learned vector where n is 0. Serving is the same with one query a row.
    """

    def __init__(self, shape: TowerShape, config: TrainTwoTower, items: IdTable) -> None:
        super().__init__(name="query_tower")
        self.items = items
        self.users = IdTable(shape.size("user_id"), config.dim, config.user_dropout, name="users")
        self.tokens = FeatureEncoder(shape.of("token", "token_item_id"), config.dim, name="tokens")
        self.project = keras.layers.Dense(config.dim, name="project")
        self.encoder = CausalEncoder(
            shape.history_length, config.layers, config.heads, config.dim, config.dropout, name="encoder"
        )
        profile = shape.of("user", "user_id")
        self.profile = FeatureEncoder(profile, config.dim, name="profile") if profile else None
        self.moment = FeatureEncoder(shape.of("query"), config.dim, name="moment")
        self.mix = Perceptron(config.dim, config.dropout, name="mix")
        self.dim = config.dim

    def build(self, *_: object) -> None:
        """Creates the vector of an empty history."""
        normal = keras.initializers.RandomNormal(stddev=self.dim**-0.5)
        self.empty = self.add_weight(shape=(self.dim,), initializer=normal, name="empty")

    def call(self, user: Inputs, token: Inputs, query: Inputs, visible: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Transformed features to unit vectors.

        Args:
            user: `[rows]` or `[rows, length]`.
            token: `[rows, tokens]`.
            query: `[rows, queries]`.
            visible: how many tokens each query sees, `[rows, queries] int64`.
            training: whether to drop.

        Returns:
            `[rows, queries, dim] float32`.
        """
        return self.of_embedded(self.embedded(user, token, query, training), visible, training)

    def embedded(self, user: Inputs, token: Inputs, query: Inputs, training: bool = False) -> dict[str, tf.Tensor]:
        """The inputs as vectors: `token [rows, tokens, dim]`, `user_id` and `profile [rows, width]`,
        `moment [rows, queries, width]`."""
        items = self.items(token["token_item_id"], training=training, hide=False)
        parts = {
            "token": items * self.dim**0.5 + self.project(self.tokens(token)),
            "user_id": self.users(user["user_id"], training=training),
            "moment": self.moment(query),
        }
        return parts if self.profile is None else parts | {"profile": self.profile(user)}

    def of_embedded(self, parts: Inputs, visible: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Unit vectors `[rows, queries, dim]` of what `embedded` gives."""
        history = tf.ensure_shape(self._history(parts["token"], visible, training), [None, None, self.dim])
        who = tf.repeat(_who(parts)[:, tf.newaxis], tf.shape(visible)[1], axis=1)
        return self._mixed(history, who, parts["moment"], training)

    def of_counted(self, batch: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Unit vectors `[targets, dim]` of the queries of a batch of sequences that count, in their order.

        What `call` gives for them, with no work for the others: where windows of long histories overlap, half.
        """
        counts = batch["counts"]
        query = {name: tf.boolean_mask(value, counts) for name, value in batch["query"].items()}
        parts = self.embedded(batch["user"], batch["token"], query, training)
        row, visible = tf.where(counts)[:, 0], tf.boolean_mask(batch["visible"], counts)
        history = tf.gather_nd(self._encoded(parts["token"], training), tf.stack([row, visible], -1))
        return self._mixed(history, tf.gather(_who(parts), row), parts["moment"], training)

    def _mixed(self, history: tf.Tensor, who: tf.Tensor, moment: tf.Tensor, training: bool) -> tf.Tensor:
        mixed = self.mix(tf.concat([history, who, moment], -1), training=training)
        return tf.math.l2_normalize(history + mixed, axis=-1)

    def _history(self, tokens: tf.Tensor, visible: tf.Tensor, training: bool) -> tf.Tensor:
        if visible.shape[1] == 1:
            encoded = self.encoder(tokens, at=tf.maximum(visible, 1) - 1, training=training)
            return tf.where(visible[..., tf.newaxis] > 0, encoded, self.empty)
        return tf.gather(self._encoded(tokens, training), visible, batch_dims=1)

    def _encoded(self, tokens: tf.Tensor, training: bool) -> tf.Tensor:
        """`[rows, tokens + 1, dim]`: place n is what a query sees that sees n tokens."""
        encoded = self.encoder(tokens, training=training)
        empty = tf.broadcast_to(self.empty, [tf.shape(encoded)[0], 1, self.dim])
        return tf.concat([empty, encoded], 1)


def _who(parts: Inputs) -> tf.Tensor:
    """`[rows, width]`."""
    return tf.concat([parts[name] for name in ("user_id", "profile") if name in parts], -1)


class TwoTower(keras.layers.Layer):
    """Both towers, over one table of item ids."""

    def __init__(self, shape: TowerShape, config: TrainTwoTower) -> None:
        super().__init__(name="two_tower")
        items = IdTable(shape.size("item_id"), config.dim, config.id_dropout, name="items")
        self.items = items
        self.item_tower = ItemTower(shape, config, items)
        self.query_tower = QueryTower(shape, config, items)

    def call(self, batch: Mapping[str, Any], item: Inputs, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Both towers: query vectors `[rows, queries, dim]` of a batch of sequences, item vectors `[items, dim]`."""
        inputs = (batch["user"], batch["token"], batch["query"], batch["visible"])
        return self.query_tower(*inputs, training=training), self.item_tower(item, training=training)
