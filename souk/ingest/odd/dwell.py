"""Dwell times in another unit than the config says: hours where minutes are usual, or none of a second."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

AN_HOUR = 3600  # seconds, which few stay anywhere
A_MOMENT = 1  # second, which half of those who stay exceed
FEWEST = 100  # events that tell it


def odd_dwell(seconds: np.ndarray) -> Iterator[str]:
    """What a reader should know of how long users stayed.

    Args:
        seconds: `[events]` float64, `dwell_seconds`; NaN where an event has none.
    """
    stayed = seconds[seconds > 0]
    if len(stayed) < FEWEST:
        return
    middle = float(np.median(stayed))
    found = f"events: half of {len(stayed):,} dwell_seconds are above {middle:,.3g}"
    if middle > AN_HOUR:
        yield f"{found}, as milliseconds are: if so, set data.events.dwell_unit to ms"
    elif middle < A_MOMENT / 2:
        yield f"{found} only, as seconds are that are taken for milliseconds: look at data.events.dwell_unit"
