"""Vectors of items that come while a release serves, by its item tower."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from souk.errors import SoukError
from souk.serving.inputs import item_inputs
from souk.serving.seldom import Seldom
from souk.serving.signatures import ItemTower
from souk.spec import Entity, FeatureSpec

seldom = Seldom(logging.getLogger(__name__))
Rows = Sequence[Mapping[str, Any]]
Vectors = Callable[[Rows], np.ndarray]  # of rows of the item table, `[rows, dim]` float32
Changed = TypeVar("Changed")


class Missing(Exception):
    """Rows whose vectors the tower has to be asked for first."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(f"{len(rows)} vectors")
        self.rows = rows


class ItemVectors:
    """The item tower over rows of the item table.

    Args:
        tower: of the release.
        spec: of its features.
        dim: the length of its vectors.
    """

    def __init__(self, tower: ItemTower, spec: FeatureSpec, dim: int) -> None:
        self._tower, self._spec, self.dim = tower, spec, dim
        self._names = [f.name for f in spec.of(Entity.ITEM)]

    def content(self, row: Mapping[str, Any]) -> str:
        """What the tower reads of a row: where it is the same, so is the vector."""
        return repr([row[name] for name in self._names])

    def of(self, rows: Rows) -> np.ndarray:
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
                seldom.warning("item tower: %s: %s", type(error).__name__, error)
                return np.full((1, self.dim), np.nan, np.float32)
            return np.concatenate([self.of([row]) for row in rows])  # the others are taken

    def ahead_of(self, change: Callable[[Vectors], Changed]) -> Changed:
        """Makes a change that takes no longer than what it has the vectors for, and begins it anew with those that it
        lacked: the tower is asked in between, when the change holds nobody up.

        Args:
            change: is given what knows vectors, and has changed nothing before that raises `Missing`.

        Raises:
            SoukError, OSError: the tower does not answer.
        """
        known = dict[str, np.ndarray]()

        def found(rows: Rows) -> np.ndarray:
            if missing := [row for row in rows if self.content(row) not in known]:
                raise Missing(missing)
            return np.stack([known[self.content(row)] for row in rows])

        while True:
            try:
                return change(found)
            except Missing as missing:
                rows = missing.rows
            known |= zip(map(self.content, rows), self.of(rows), strict=True)

    def standing_in(self, rows: Rows) -> np.ndarray:
        """Vectors of no meaning, to see what else rows change."""
        return np.eye(1, self.dim, dtype=np.float32).repeat(len(rows), 0)

    def _computed(self, rows: Rows) -> np.ndarray:
        columns = {name: [row[name] for row in rows] for name in self._names}
        return self._tower.vectors(item_inputs(columns, self._spec))
