"""Models as SavedModels that take raw features: the transforms are inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from souk.models.inputs import Transform
from souk.models.towers import TwoTower
from souk.spec import Entity, Feature, FeatureSpec


def specs(features: tuple[Feature, ...], *middle: int | None) -> dict[str, tf.TensorSpec]:
    """The signature of raw features: `[rows, *middle]`, lists `[rows, *middle, length]`."""
    return {
        f.name: tf.TensorSpec([None, *middle, *([f.length] if f.length else [])], f.dtype, name=f.name) for f in features
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
        tf.saved_model.save(self, str(path), signatures={"serve": tf.function(self.serve).get_concrete_function(**self._signature)})

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
        tf.saved_model.save(self, str(path), signatures={"serve": tf.function(self.serve).get_concrete_function(**signature)})

    def serve(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """`vector [rows, dim]`."""
        return {"vector": self.tower(self.item(pick(raw, self._features)))}
