"""What was shown in the test window: the logged slates of the requests in which somebody took something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from souk.logged_slates import FILE, read_slates
from souk.metrics import Ints


@dataclass(frozen=True)
class Shown:
    """A logged slate.

    Args:
        positions: `[shown]` int64, its items in the order of their places, by position in the catalogue.
        taken: `[shown]` bool, what the user took of them, then or later in the same request.
    """

    positions: Ints
    taken: np.ndarray


def read_shown(features: Path, position: Mapping[str, int], events: Iterable[str]) -> dict[str, Shown]:
    """The slates in which `events` happened, by event; none where no slate was logged.

    Args:
        features: the features folder.
        position: the place in the catalogue of each item id; what it does not know is left out.
        events: ids of engaging events.
    """
    found = {}
    for event, slate in read_slates(features / FILE, events).items():
        rows = zip(slate.items, slate.engaged, strict=True)
        known = [(position[item], took) for item, took in rows if item in position]
        positions, taken = zip(*known, strict=True) if known else ((), ())
        found[event] = Shown(np.array(positions, np.int64), np.array(taken, bool))
    return found
