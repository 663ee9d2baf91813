"""A retriever and a ranker of a shop's own, outside Souk's package. In the shop's config:

retrievers:
  editors: {use: "own_classes:Editors", share: 0.2, options: {ids: [i3, i5]}}
ranker: {use: "own_classes:CheapFirst", options: {usual: 20}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from souk.plugs import Items, Query, Ranker, Retriever


class Editors(Retriever):
    """What the editors chose, in their order, but for what the user had last.

    Args:
        items: the catalogue.
        ids: the choice.
    """

    def __init__(self, items: Items, ids: Sequence[str]) -> None:
        super().__init__(items)
        self._ids = tuple(dict.fromkeys(ids))

    def retrieve(self, query: Query, items: Items, count: int) -> np.ndarray:
        """See `Retriever`."""
        last = query.history[-1].item_id if query.history else ""
        return np.array([items.positions[i] for i in self._ids if i in items.positions and i != last], np.int64)


class CheapFirst(Ranker):
    """The cheaper, the likelier.

    Args:
        items: the catalogue.
        usual: the price with an even chance, and that of an item without one.
    """

    def __init__(self, items: Items, usual: float) -> None:
        super().__init__(items)
        self._usual = usual

    def probabilities(
        self,
        features: Mapping[str, np.ndarray],
        items: Items,
        positions: np.ndarray,
        request: np.ndarray,
        pair: np.ndarray,
    ) -> Mapping[str, Any]:
        """See `Ranker`."""
        price = np.nan_to_num(items.numbers["price"][positions], nan=self._usual)
        return {"engaged": self._usual / (self._usual + np.maximum(price, 0))}
