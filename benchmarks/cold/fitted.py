"""Towers fitted on what is known, and the vectors of what is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.cold.held_out import bounds
from souk.config import TrainTwoTower
from souk.declared import item_features
from souk.features.transform import load_transform
from souk.features.windows import read_windows
from souk.models.draw import draw_examples
from souk.models.export import ServedItemTower, ServedQueryTower
from souk.models.fit_towers import TowerFit, new_towers
from souk.models.inputs import read_transformed
from souk.models.judge import RetrievalJudge
from souk.models.retrieve import item_vectors
from souk.models.sequences import Sequences, read_catalogue
from souk.models.towers import TowerShape
from souk.serving.inputs import item_inputs, query_inputs
from souk.spec import Entity, read_spec
from souk.state import QueryFeatures

MOMENTS = 3000
BATCH = 256


class Fitted:
    """Towers that are fitted up to a window, and then up to the next.

    Args:
        folder: with `features`.
        settings: of the towers.
        content: whether the item tower reads the items' content.
    """

    def __init__(self, folder: Path, settings: TrainTwoTower, content: bool) -> None:
        self._features, self._settings = folder / "features", settings
        self.spec = read_spec(self._features / "spec.json")
        self.windows = read_windows(self._features / "windows.json")
        self._transforms = {str(entity): load_transform(self._features, entity) for entity in Entity}
        self._catalogue = read_catalogue(self._features, self.spec, self._transforms["item"])
        self._sequences = Sequences.open(self._features, self.spec, self._transforms, self._catalogue.ids)
        every = read_transformed(self._features)
        kept = tuple(f for f in every if content or f.entity != "item" or f.name == "item_id")
        shape = TowerShape(kept, self.spec.history_length)
        self._model = new_towers(settings, self._sequences, self._catalogue, shape)
        self._fit = TowerFit(self._model, self._sequences, self._catalogue, settings)

    def fit(self, window: str) -> float:
        """Fits up to the window, as the pipeline does; returns NDCG@10 of the known items in the window."""
        settings, (start, end) = self._settings, bounds(self.windows, window)
        examples = draw_examples(self._features, start, end, settings.seed)
        parts = self._features, examples, self._catalogue, self._sequences, settings.seed
        if window == "validation":
            self._fit.fit(start, settings.epochs, print, RetrievalJudge(*parts))
        else:
            self._fit.refresh(start, settings.epochs, print)
        self._judge = RetrievalJudge(*parts, MOMENTS)
        return self._judge.score(self._model)

    def among(self, vectors: np.ndarray) -> float:
        """NDCG@10 of the known items where these `[new, dim]` stand among them, in the window of the last fit."""
        return self._judge.score(self._model, vectors)

    def warm_vectors(self) -> np.ndarray:
        """`[items, dim]` of the known items, in the order of their ids."""
        return item_vectors(self._model, self._catalogue)

    def vectors(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """`[rows, dim]` of rows of the items table, through the served item tower."""
        features = [item_features(row, self.spec) for row in rows]
        columns = {name: [each[name] for each in features] for name in features[0]}
        tower = ServedItemTower(self._model, self._transforms, self.spec)
        inputs = item_inputs(columns, self.spec)
        return np.asarray(tower.serve(**{name: tf.constant(values) for name, values in inputs.items()})["vector"])

    def queries(self, queries: Sequence[QueryFeatures]) -> Iterator[np.ndarray]:
        """The vector of each query, through the served query tower."""
        tower = tf.function(ServedQueryTower(self._model, self._transforms, self.spec).serve)
        for start in range(0, len(queries), BATCH):
            inputs = query_inputs(queries[start : start + BATCH], self.spec)
            yield from np.asarray(tower(**{name: tf.constant(value) for name, value in inputs.items()})["vector"])
