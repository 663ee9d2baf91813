"""A ranker outside Souk's package that is slow when it is told to be."""

import time
from pathlib import Path

import numpy as np

from souk.plugs import Ranker


class Slow(Ranker):
    """The dearer, the likelier.

    Args:
        items: the catalogue.
        while_there: a file; each call takes the seconds that it holds as long as it is there.
    """

    def __init__(self, items, while_there):
        super().__init__(items)
        self._file = Path(while_there)

    def probabilities(self, features, items, positions, request, pair):
        if self._file.exists():
            time.sleep(float(self._file.read_text() or 0))
        return {"engaged": np.clip(items.numbers["price"][positions] / 100, 0, 1)}
