"""What was shown in the test window: the logged slates of the requests in which somebody took something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.features.impressions import FILE
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
    path = features / FILE
    if not path.is_file():
        return {}
    table = pq.read_table(path, filters=pc.field("event_id").isin([*events]))
    found = {}
    for row in table.to_pylist():
        slate = sorted(zip(row["places"], row["items"], row["engaged"], strict=True))
        known = [(position[item], took) for _, item, took in slate if item in position]
        positions, taken = zip(*known, strict=True) if known else ((), ())
        found[row["event_id"]] = Shown(np.array(positions, np.int64), np.array(taken, bool))
    return found
