"""Vectors of items that come while a release serves, by its item tower."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.errors import SoukError
from souk.serving.inputs import item_inputs
from souk.serving.signatures import ItemTower
from souk.spec import Entity, FeatureSpec

logger = logging.getLogger(__name__)


class ItemVectors:
    """The item tower over rows of the item table.

    Args:
        tower: of the release.
        spec: of its features.
        dim: the length of its vectors.
    """

    def __init__(self, tower: ItemTower, spec: FeatureSpec, dim: int) -> None:
        self._tower, self._spec, self.dim = tower, spec, dim

    def of(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """`[rows, dim]` float32; NaN for content that the tower cannot take.

        Raises:
            SoukError, OSError: it does not answer.
        """
        if not rows:
            return np.zeros((0, 0), np.float32)
        try:
            return self._computed(rows)
        except (SoukError, OSError):  # not of the rows
            raise
        except Exception as error:  # of the tower, whatever it raises for content that the tower cannot take
            if len(rows) == 1:
                logger.warning("item tower: %s: %s", type(error).__name__, error)
                return np.full((1, self.dim), np.nan, np.float32)
            return np.concatenate([self.of([row]) for row in rows])  # the others are taken

    def _computed(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        columns = {f.name: [row[f.name] for row in rows] for f in self._spec.of(Entity.ITEM)}
        return self._tower.vectors(item_inputs(columns, self._spec))
