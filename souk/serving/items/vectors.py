"""What the models make of items that come while a release serves: their vectors, and what the ranker reads of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from souk.errors import SoukError
from souk.release.bundle import Bundle
from souk.serving.beside import Run
from souk.serving.inputs import item_inputs
from souk.serving.plugged import OwnRanker
from souk.serving.seldom import Seldom
from souk.serving.signatures import ItemTower, Ranker
from souk.spec import Entity, FeatureSpec

seldom = Seldom(logging.getLogger(__name__))
Rows = Sequence[Mapping[str, Any]]
Goods = Callable[[Mapping[str, np.ndarray]], np.ndarray]
Vectors = Callable[[Rows], np.ndarray]  # of rows of the item table, `[rows, dim + width]` float32
Changed = TypeVar("Changed")


class Missing(Exception):
    """Rows whose vectors the tower has to be asked for first."""

    def __init__(self, rows: Rows) -> None:
        super().__init__(f"{len(rows)} vectors")
        self.rows = rows


class ItemVectors:
    """The item tower over rows of the item table, and behind each vector what the ranker makes of the row.

    Args:
        tower: of the release.
        spec: of its features.
        dim: the length of its vectors.
        goods: of the ranker (`Ranker.goods_of`); None where a class of one's own ranks.
        width: of these.
    """

    def __init__(
        self, tower: ItemTower, spec: FeatureSpec, dim: int, goods: Goods | None = None, width: int = 0
    ) -> None:
        self._tower, self._spec, self.dim, self._goods, self.width = tower, spec, dim, goods, width
        self._names = [f.name for f in spec.of(Entity.ITEM)]

    @classmethod
    def of_bundle(cls, bundle: Bundle, ranker: Ranker | OwnRanker, run: Run) -> ItemVectors:
        """Those of a bundle.

        Args:
            bundle: whose item tower is asked.
            ranker: loaded.
            run: runs an item tower that is no graph.
        """
        goods = (ranker.goods_of, ranker.goods.shape[1]) if isinstance(ranker, Ranker) else ()
        return cls(ItemTower(bundle.item_tower, run), bundle.spec, bundle.vectors.shape[1], *goods)

    def content(self, row: Mapping[str, Any]) -> str:
        """What the models read of a row: where it is the same, so is what they make of it."""
        return repr([row[name] for name in self._names])

    def of(self, rows: Rows) -> np.ndarray:
        """`[rows, dim + width]` float32; NaN for content that the models cannot take.

        Raises:
            SoukError, OSError: it does not answer.
        """
        if not rows:
            return np.zeros((0, self.dim + self.width), np.float32)
        try:
            return self._computed(rows)
        except (SoukError, OSError):  # not of the rows
            raise
        except Exception as error:  # of the tower, whatever it raises for content that the tower cannot take
            if len(rows) == 1:
                seldom.warning("item tower: %s: %s", type(error).__name__, error)
                return np.full((1, self.dim + self.width), np.nan, np.float32)
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

    def parts(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The vectors, and what the ranker makes of the rows, of what `of` found."""
        return found[:, : self.dim], found[:, self.dim :] if self._goods else None

    def standing_in(self, rows: Rows) -> np.ndarray:
        """Vectors of no meaning, to see what else rows change."""
        return np.eye(1, self.dim + self.width, dtype=np.float32).repeat(len(rows), 0)

    def _computed(self, rows: Rows) -> np.ndarray:
        columns = {name: [row[name] for row in rows] for name in self._names}
        inputs = item_inputs(columns, self._spec)
        vectors = self._tower.vectors(inputs)
        return np.hstack([vectors, self._goods(inputs)]) if self._goods else vectors
