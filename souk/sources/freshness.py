"""How much of a market is about what just came: measured with the features, used by the source of fresh items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RARE = 0.05  # share of the items
FRESH_DAYS = 30.0  # an item is fresh for so long
CLOCKS = (
    1.0  # days that an item may be engaged with before its date of creation; more, and the date is of something else
)
LEAST_EVENTS = 100  # fewer engagements with fresh items say nothing of a decay
SHORTEST, LONGEST = 0.05, 300.0  # days of a decay; with the longest, age tells apart what nothing else does
HALVINGS = 40


@dataclass(frozen=True)
class Freshness:
    """What engagements say of the age of items.

    Args:
        share: of the recent engagements, those with an item that was fresh.
        days: in which the interest in a fresh item falls to 1 / e.
    """

    share: float = 0.0
    days: float = LONGEST


def freshness(ages: np.ndarray) -> Freshness:
    """Freshness by the ages of items when they were engaged with.

    The decay is that of the exponential distribution, cut off at FRESH_DAYS, whose mean the fresh ages have: the
    estimate of greatest likelihood where items come at a steady rate.

    Args:
        ages: `[events]`, days since the item's creation; NaN where unknown. Dates of an export or an import, which lie
            behind the engagements, tell no age.
    """
    fresh = np.maximum(ages[(ages >= -CLOCKS) & (ages <= FRESH_DAYS)], 0)
    share = len(fresh) / max(1, len(ages))
    if len(fresh) < LEAST_EVENTS:
        return Freshness(share)
    low, high, mean = SHORTEST, LONGEST, float(fresh.mean())
    if mean >= _mean(high):
        return Freshness(share)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(middle) < mean else (low, middle)
    return Freshness(share, high)


def imported(created: np.ndarray) -> np.ndarray:
    """The date of creation that more than half of the items have: a catalogue was imported then, and it tells no age.

    Args:
        created: `[items]` float64, UTC epoch milliseconds; NaN where unknown.

    Returns:
        `[1]` float64, or `[0]` where there is no such date.
    """
    dates, counts = np.unique(created[np.isfinite(created)], return_counts=True)
    found: np.ndarray = dates[counts > len(created) / 2]
    return found


def assumed_birth(created: np.ndarray, before: float) -> float:
    """What stands for an unknown date of creation: the median, where at most RARE of the items have none; else NaN.

    So few say nothing of what an unknown age means, and are taken for what they are beside it: items that only events
    name are there because somebody took them.

    Args:
        created: `[items]` float64, UTC epoch milliseconds; NaN where unknown.
        before: the boundary; what came later is not known yet.
    """
    known = created[created < before]
    unknown = np.isnan(created).sum()
    return float(np.median(known)) if 0 < unknown <= RARE * (len(known) + unknown) else np.nan


def _mean(days: float) -> float:
    """The mean of the exponential distribution of scale `days`, cut off at FRESH_DAYS."""
    return float(days - FRESH_DAYS / np.expm1(FRESH_DAYS / days))
