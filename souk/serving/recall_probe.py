"""What an index finds of what can be shown, looked at while it serves: the last query vectors, searched exactly too."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from souk.index.exact import ExactIndex
from souk.index.interface import IndexUnavailable
from souk.index.recall import recall_at
from souk.serving.loaded import Loaded

K = 100


class RecallProbe:
    """Asks both now and then, in a thread beside that of requests.

    Args:
        current: gives what answers now.
        clock: UTC epoch milliseconds.
    """

    def __init__(self, current: Callable[[], Loaded], clock: Callable[[], int]) -> None:
        self._current, self._clock = current, clock
        self.recall = math.nan  # at K, of the last look; NaN where nothing is known of the index that answers now
        self._release = ""  # whose it is

    def look(self) -> None:
        """Compares; an index that does not answer is no matter of recall."""
        current = self._current()
        index, asked = current.retrieval.index, list(current.retrieval.asked)
        if index is None or current.settings.release != self._release:
            self.recall, self._release = math.nan, current.settings.release
        if index is None or not asked:
            return
        exact = ExactIndex(current.retrieval.exact.vectors, index.available)
        # One outside this process is asked without a mask, and requests that need one never are its.
        allowed = None if index.remote else current.catalogue.shown((), self._clock())
        try:
            self.recall = recall_at(index, exact, np.stack(asked), min(K, len(exact)), allowed=allowed)
        except IndexUnavailable:
            self.recall = math.nan
