"""The preprocessing function of each entity, made from the feature specification by role.

Ids are 0 for a missing value, 1 for an unknown one, and from 2 a place in the vocabulary (or the value itself). Numbers
are normalised; a missing one becomes 0, and `<name>_missing` says so. Missing values take no part in the statistics.
Vectors stay as they are; a missing one is 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from souk.spec import Entity, Feature, FeatureSpec, Role

FIRST_ID = 2  # after missing and unknown
ITEM_VOCABULARY = "item_id"
VOCABULARY_ROLES = (Role.USER_ID, Role.ITEM_ID, Role.CATEGORY, Role.BAG)
Tensors = Mapping[str, tf.Tensor]


@dataclass(frozen=True)
class Transformed:
    """An output of a transform graph.

    Args:
        entity: whose graph it comes from.
        type: `ids` (int64) or `float` (float32).
        size: the number of ids, 0 for floats.
        length: the entries of one value, 0 for a scalar.
    """

    entity: str
    type: str
    size: int = 0
    length: int = 0


def outputs(feature: Feature, spec: FeatureSpec, vocabulary: Callable[[str], int]) -> dict[str, Transformed]:
    """What `feature` becomes, by name; `vocabulary` gives the number of entries of a vocabulary by its name."""
    entity = str(feature.entity)
    if feature.role in (Role.NUMBER, Role.COUNT):
        floats = {name: Transformed(entity, "float") for name in (feature.name, f"{feature.name}_missing")}
        if feature.role is Role.COUNT:
            return floats
        return floats | {f"{feature.name}_bucket": Transformed(entity, "ids", FIRST_ID + spec.build.numeric_buckets)}
    if feature.role is Role.VECTOR:
        return {feature.name: Transformed(entity, "float", 0, feature.length)}
    if feature.role in VOCABULARY_ROLES:
        known = vocabulary(vocabulary_name(feature))
    else:
        known = {
            Role.ENUM: len(feature.values),
            Role.INTEGER: feature.size,
            Role.TEXT: spec.build.text_buckets,
        }[feature.role]
    return {feature.name: Transformed(entity, "ids", FIRST_ID + known, feature.length)}


def vocabulary_name(feature: Feature) -> str:
    """The name of a feature's vocabulary file: items of a history share that of the item table."""
    return ITEM_VOCABULARY if feature.role is Role.ITEM_ID else feature.name


def raw_specification(entity: Entity, spec: FeatureSpec) -> dict[str, tf.io.FixedLenFeature]:
    """The TensorFlow types of the raw features of `entity`, for TFT."""
    return {
        f.name: tf.io.FixedLenFeature([f.length] if f.length else [], tf.dtypes.as_dtype(f.dtype))
        for f in spec.of(entity)
    }


def preprocessing_fn(entity: Entity, spec: FeatureSpec, item_vocabulary: str) -> Callable[[Tensors], dict[str, Any]]:
    """The function that TFT analyses and turns into a graph.

    Args:
        entity: whose raw features come in: `[B]`, or `[B, L]` for lists.
        spec: the feature specification.
        item_vocabulary: path of the vocabulary of the item table, for the graphs of other entities.
    """

    def transform(inputs: Tensors) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for feature in spec.of(entity):
            path = item_vocabulary if feature.role is Role.ITEM_ID and entity is not Entity.ITEM else ""
            result |= _transform(feature, inputs[feature.name], spec, path)
        return result

    return transform


def _transform(feature: Feature, values: tf.Tensor, spec: FeatureSpec, path: str) -> dict[str, tf.Tensor]:
    if feature.role is Role.NUMBER:
        return _number(feature.name, values) | {f"{feature.name}_bucket": _bucket(values, spec.build.numeric_buckets)}
    if feature.role is Role.COUNT:
        return _number(feature.name, tf.math.log1p(tf.maximum(values, 0.0)))
    if feature.role is Role.VECTOR:
        return {feature.name: tf.where(tf.math.is_nan(values), 0.0, values)}
    if feature.role is Role.INTEGER:
        inside = (values >= 0) & (values < feature.size)
        return {feature.name: tf.where(inside, values + FIRST_ID, tf.constant(1, values.dtype))}
    present = tf.not_equal(values, "")
    if feature.role is Role.TEXT:
        known = tf.strings.to_hash_bucket_fast(values, spec.build.text_buckets)
    elif feature.role is Role.ENUM:
        known = _lookup_constant(feature, values)
    elif path:
        known = _lookup_file(path, feature.name, values)
    else:
        vocabulary = tft.vocabulary(tf.boolean_mask(values, present), vocab_filename=vocabulary_name(feature))
        known = tft.apply_vocabulary(values, vocabulary, default_value=-1)
    return {feature.name: tf.where(present, known + FIRST_ID, tf.constant(0, known.dtype))}


def _number(name: str, values: tf.Tensor) -> dict[str, tf.Tensor]:
    missing = tf.math.is_nan(values)
    known = tf.boolean_mask(values, ~missing)
    deviation = tf.sqrt(tft.var(known))
    scaled = (values - tft.mean(known)) * tf.math.reciprocal_no_nan(deviation)  # of constants: a graph folds it
    return {name: tf.where(missing, 0.0, scaled), f"{name}_missing": tf.cast(missing, tf.float32)}


def _bucket(values: tf.Tensor, buckets: int) -> tf.Tensor:
    missing = tf.math.is_nan(values)
    boundaries = tft.quantiles(tf.boolean_mask(values, ~missing), buckets, epsilon=0.001)
    filled = tf.where(missing, 0.0, values)
    known = tft.apply_buckets(filled, boundaries)
    return tf.where(missing, tf.constant(0, known.dtype), known + FIRST_ID)


def _lookup_constant(feature: Feature, values: tf.Tensor) -> tf.Tensor:
    keys = list(feature.values)
    initializer = functools.partial(
        tf.lookup.KeyValueTensorInitializer, keys, list(range(len(keys))), tf.string, tf.int64
    )
    table = tft.make_and_track_object(lambda: tf.lookup.StaticHashTable(initializer(), -1), feature.name)
    return table.lookup(values)


def _lookup_file(path: str, name: str, values: tf.Tensor) -> tf.Tensor:
    def table() -> tf.lookup.StaticHashTable:
        whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        return tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(path, tf.string, whole, tf.int64, line), default_value=-1
        )

    return tft.make_and_track_object(table, name).lookup(values)
