"""Loads a transform graph, to apply it in training and to save it inside a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
import tensorflow_transform as tft

from souk.features.preprocess import Transformed
from souk.spec import Entity, FeatureSpec, read_spec


class Transform(tf.Module):
    """Raw features of one entity to numbers.

    Keep it as an attribute of the `tf.Module` that is saved: its vocabulary files are saved with it. It works eagerly,
    in a `tf.function` and in `tf.data`.

    Args:
        folder: one TFT output (`features/transform/<entity>`).
        entity: whose features it takes.
        spec: the feature specification.
    """

    def __init__(self, folder: str, entity: Entity, spec: FeatureSpec) -> None:
        super().__init__(name=f"{entity}_transform")
        self._lengths = {feature.name: feature.length for feature in spec.of(entity)}
        self._layer = tft.TFTransformOutput(folder).transform_features_layer()

    def __call__(self, raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Transforms a batch.

        Args:
            raw: every raw feature of the entity, and maybe others that are passed over: `[...]` for scalars, `[..., L]`
                for lists, with the same leading dimensions, such as `[B]` or `[B, N]`.

        Returns:
            The features of `transform/features.json`: `[...]` or `[..., L]`, ids int64, floats float32.
        """
        tensors = {name: tf.convert_to_tensor(raw[name]) for name in self._lengths}
        first, length = next(iter(self._lengths.items()))
        shape = tf.shape(tensors[first])[: -1 if length else None]
        static = tensors[first].shape[: -1 if length else None]
        flat = {
            name: tf.reshape(tensors[name], [-1, length] if length else [-1]) for name, length in self._lengths.items()
        }
        return {name: _unflatten(value, shape, static) for name, value in self._layer(flat).items()}


def load_transform(features: str | Path, entity: Entity | str) -> Transform:
    """Opens the transform of `entity` in a `features` folder."""
    folder = Path(features)
    entity = Entity(entity)
    return Transform(str(folder / "transform" / entity), entity, read_spec(folder / "spec.json"))


def transformed_features(features: str | Path) -> dict[str, Transformed]:
    """What the transforms of a `features` folder give, by name."""
    text = (Path(features) / "transform" / "features.json").read_text(encoding="utf-8")
    return {name: Transformed(**values) for name, values in json.loads(text).items()}


def _unflatten(value: tf.Tensor, shape: tf.Tensor, static: tf.TensorShape) -> tf.Tensor:
    """`[X]` or `[X, L]` to `[..., ]` or `[..., L]`."""
    inner = value.shape[1:]
    result = tf.reshape(value, tf.concat([shape, tf.constant(inner.as_list(), tf.int32)], 0))
    result.set_shape(static.concatenate(inner))
    return result
