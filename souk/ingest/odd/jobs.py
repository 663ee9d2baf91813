"""Purchases that a program wrote at its time of the day: standing orders, and what came into the shop by an import."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from souk.schema import DAY_MS

SECOND_MS = 1000
FEWEST = 1000  # purchases
FEWEST_TIMES = 100  # seconds of the day that have some: times of hours alone have 24
SHARE, TIMES = 0.02, 20  # of the purchases, and as many as of another such second in the median
FEWEST_DAYS = 5


def odd_jobs(times: np.ndarray) -> Iterator[str]:
    """Whether many purchases are of one second of the day, on several days.

    Args:
        times: `[purchases]` int64, UTC epoch milliseconds.
    """
    if len(times) < FEWEST:
        return
    seconds, counts = np.unique(times % DAY_MS // SECOND_MS, return_counts=True)
    often = (
        (counts >= SHARE * len(times)) & (counts >= TIMES * np.median(counts)) & (seconds > 0)
    )  # midnight: days alone
    own = np.isin(times % DAY_MS // SECOND_MS, seconds[often])
    if len(seconds) < FEWEST_TIMES or len(np.unique(times[own] // DAY_MS)) < FEWEST_DAYS:
        return
    shown = " and ".join(f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}" for at in seconds[often].tolist()[:2])
    found = (
        f"events: {own.mean():.1%} of the purchases are of {shown} UTC: did a program write them, as standing orders?"
    )
    yield f"{found} Nobody chose them then: leave them out by `skip`, or they are asked for and recommended"
