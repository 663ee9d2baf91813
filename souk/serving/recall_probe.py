"""What the index finds of what is there, looked at while it serves: the last query vectors, searched exactly too."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np

from souk.index.exact import ExactIndex
from souk.index.interface import IndexUnavailable, recall_at
from souk.serving.retrieval import Retrieval

K = 100


class RecallProbe:
    """Asks both now and then, in a thread beside that of requests.

    Args:
        retrieval: the one that answers now.
    """

    def __init__(self, retrieval: Callable[[], Retrieval]) -> None:
        self._retrieval = retrieval
        self.recall = math.nan  # at K, of the last look; NaN before the first, and without an index
        self.looks = 0

    def look(self) -> None:
        """Compares; an index that does not answer is no matter of recall."""
        retrieval = self._retrieval()
        asked = list(retrieval.asked)
        if retrieval.index is None or not asked:
            return
        with contextlib.suppress(IndexUnavailable):
            exact = ExactIndex(retrieval.exact.vectors, retrieval.index.available)
            self.recall = recall_at(retrieval.index, exact, np.stack(asked), min(K, len(exact)))
            self.looks += 1
