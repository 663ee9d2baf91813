"""Models as SavedModels that take raw features: the transforms are inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from souk.models.calibration import Calibration
from souk.models.inputs import Transform
from souk.models.ranker import Ranker
from souk.models.towers import TwoTower
from souk.pairs import PAIR_FEATURES
from souk.spec import Entity, Feature, FeatureSpec


def specs(features: tuple[Feature, ...], *middle: int | None) -> dict[str, tf.TensorSpec]:
    """The signature of raw features: `[rows, *middle]`, lists `[rows, *middle, length]`."""
    return {
        f.name: tf.TensorSpec([None, *middle, *([f.length] if f.length else [])], f.dtype, name=f.name)
        for f in features
    }


def pick(raw: Mapping[str, tf.Tensor], features: tuple[Feature, ...]) -> dict[str, tf.Tensor]:
    """Those of `raw` that are `features`."""
    return {f.name: raw[f.name] for f in features}


class ServedQueryTower(tf.Module):
    """Raw features of requests → query vectors."""

    def __init__(self, model: TwoTower, transforms: Mapping[str, Transform], spec: FeatureSpec) -> None:
        super().__init__(name="served_query_tower")
        self.tower = model.query_tower
        self.user, self.token, self.query = (transforms[name] for name in ("user", "token", "query"))
        self._features = {name: spec.of(Entity(name)) for name in ("user", "token", "query")}
        self._signature = {
            **specs(self._features["user"]),
            **specs(self._features["token"], spec.history_length),
            "token_count": tf.TensorSpec([None], tf.int64, name="token_count"),
            **specs(self._features["query"]),
        }

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel with the signature `serve`."""
        tf.saved_model.save(
            self, str(path), signatures={"serve": tf.function(self.serve).get_concrete_function(**self._signature)}
        )

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`vector [rows, dim]`: the same call of the same tower as in training, with one query a row."""
        query = {name: value[:, tf.newaxis] for name, value in pick(raw, self._features["query"]).items()}
        vectors = self.tower(
            self.user(pick(raw, self._features["user"])),
            self.token(pick(raw, self._features["token"])),
            self.query(query),
            raw["token_count"][:, tf.newaxis],
        )
        return {"vector": vectors[:, 0]}


class ServedItemTower(tf.Module):
    """Raw features of items → item vectors."""

    def __init__(self, model: TwoTower, transforms: Mapping[str, Transform], spec: FeatureSpec) -> None:
        super().__init__(name="served_item_tower")
        self.tower = model.item_tower
        self.item = transforms["item"]
        self._features = spec.of(Entity.ITEM)

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel with the signature `serve`."""
        signature: dict[str, Any] = specs(self._features)
        tf.saved_model.save(
            self, str(path), signatures={"serve": tf.function(self.serve).get_concrete_function(**signature)}
        )

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`vector [rows, dim]`."""
        return {"vector": self.tower(self.item(pick(raw, self._features)))}


class ServedRanker(tf.Module):
    """Raw features of requests and of their candidates → calibrated probabilities.

    Args:
        model: the ranker.
        transforms: by entity.
        spec: the feature specification.
        calibration: the curve of each head.
        with_body: whether its weights use the body.
    """

    def __init__(
        self,
        model: Ranker,
        transforms: Mapping[str, Transform],
        spec: FeatureSpec,
        calibration: Mapping[str, Calibration],
        with_body: bool,
    ) -> None:
        super().__init__(name="served_ranker")
        self.model = model
        self.user, self.query, self.item = (transforms[name] for name in ("user", "query", "item"))
        self._features = {name: spec.of(Entity(name)) for name in ("user", "query", "item")}
        self._calibration = dict(calibration)
        self._with_body = with_body

    def save(self, path: str | Path) -> None:
        """Writes the SavedModel with the signature `serve`."""
        signature = {
            **specs(self._features["user"]),
            **specs(self._features["query"]),
            **specs(self._features["item"]),
            "pair": tf.TensorSpec([None, len(PAIR_FEATURES)], tf.float32, name="pair"),
            "request": tf.TensorSpec([None], tf.int64, name="request"),
        }
        tf.saved_model.save(
            self, str(path), signatures={"serve": tf.function(self.serve).get_concrete_function(**signature)}
        )

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`engaged [candidates]` and `satisfied [candidates]`."""
        logits = self.model(
            self.user(pick(raw, self._features["user"])),
            self.query(pick(raw, self._features["query"])),
            self.item(pick(raw, self._features["item"])),
            raw["pair"],
            raw["request"],
            with_body=self._with_body,
        )
        logits["engaged"] += logits["level"]
        return {name: tf.sigmoid(_bent(logits[name], curve)) for name, curve in self._calibration.items()}


def _bent(logits: tf.Tensor, curve: Calibration) -> tf.Tensor:
    """`Calibration.probability`, before the logistic function."""
    z = curve.offset + curve.slopes[0] * logits
    for knot, change in curve.bends():
        z += change * tf.nn.relu(logits - knot)
    return z
