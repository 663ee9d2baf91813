"""Transformed features, and the layer that turns those of one entity into a vector."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from souk.spec import Feature

# Raw features of one entity to its transformed ones: `[...]` or `[..., length]` in, the same leading dimensions out.
Transform = Callable[[Mapping[str, Any]], dict[str, Any]]
MISSING, UNKNOWN, KNOWN = 0, 1, 2  # the first ids of every vocabulary
BOUND = 8.0  # deviations: no value that training never saw can blow up a score
VECTOR_BOUND = 1e4  # of a declared vector's numbers, which are not scaled
FILL: dict[str, Any] = {"string": "", "float32": math.nan, "int64": 0}  # what a missing raw value is, by dtype


@dataclass(frozen=True)
class TransformedFeature:
    """A feature as the models see it.

    Args:
        name: its name in the output of the transform.
        entity: `user`, `item`, `token` or `query`.
        type: `ids` or `float`.
        size: the number of ids (0 missing, 1 unknown, known from 2); 0 for floats.
        length: 0 for a scalar, else the padded length of a list.
    """

    name: str
    entity: str
    type: str
    size: int
    length: int


def read_transformed(features: str | Path) -> tuple[TransformedFeature, ...]:
    """Reads `transform/features.json` of a features folder, in the order of names."""
    values = json.loads((Path(features) / "transform" / "features.json").read_text(encoding="utf-8"))
    return tuple(TransformedFeature(name=name, **values[name]) for name in sorted(values))


def missing_rows(features: Sequence[Feature], rows: int) -> dict[str, tf.Tensor]:
    """Raw features of `rows` rows of which nothing is known."""
    return {
        f.name: tf.fill([rows, f.length] if f.length else [rows], tf.constant(FILL[f.dtype], f.dtype)) for f in features
    }


def width(size: int, dim: int) -> int:
    """The embedding width of a feature with `size` ids: the fourth root grows slowly with the vocabulary."""
    return max(4, min(dim // 2, 4 * round(size**0.25)))


class FeatureEncoder(keras.layers.Layer):
    """Embeds the transformed features of one entity and puts them side by side.

    Ids are looked up, lists are the mean over their known entries, floats stay as they are, within bounds.

    Args:
        features: the transformed features; those that a model embeds itself are left out by the caller.
        dim: the model's width, the bound of each embedding's.
    """

    def __init__(self, features: Sequence[TransformedFeature], dim: int, name: str) -> None:
        super().__init__(name=name)
        self.features = tuple(features)
        self.tables = {
            f.name: keras.layers.Embedding(f.size, width(f.size, dim), name=f.name)
            for f in self.features
            if f.type == "ids"
        }
        widest = {"ids": np.inf, "float": BOUND}
        most = [VECTOR_BOUND if f.type == "float" and f.length else widest[f.type] for f in self.features]
        self._most = np.repeat(np.array(most, np.float32), [*self.widths.values()])

    @property
    def widths(self) -> dict[str, int]:
        """How many columns of the output each feature has, in their order."""
        return {f.name: self.tables[f.name].output_dim if f.type == "ids" else max(1, f.length) for f in self.features}

    @property
    def width(self) -> int:
        """The last dimension of the output."""
        return sum(self.widths.values())

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """`[...]` or `[..., length]` by name → `[..., width]`."""
        found = tf.concat([self._encode(f, inputs[f.name]) for f in self.features], axis=-1)
        return tf.clip_by_value(found, -self._most, self._most)  # all at once: in a graph each operation costs

    def _encode(self, feature: TransformedFeature, value: tf.Tensor) -> tf.Tensor:
        if feature.type == "float":
            value = tf.cast(value, tf.float32)
            return value if feature.length else value[..., tf.newaxis]
        embedded = self.tables[feature.name](value)
        if not feature.length:
            return embedded
        present = tf.cast(value != MISSING, tf.float32)[..., tf.newaxis]
        return tf.reduce_sum(embedded * present, -2) / tf.maximum(tf.reduce_sum(present, -2), 1.0)
