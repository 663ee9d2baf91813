"""How fast the taste of a market moves, and which items it moves to: half-life and trends."""

from __future__ import annotations

import numpy as np

from souk.schema import DAY_MS

HALVINGS = 9  # half-lives tried: the span of the data, half of it, and so on; and none
LATEST = 0.1  # share of the training events that a half-life is judged by
BLEND = 0.05  # share of all-time popularity in a judged forecast, so that nothing is impossible
TREND_PRIOR = 10.0  # a trend is drawn to 1 as if the item had so many more events


def half_life(items: np.ndarray, times: np.ndarray, size: int) -> float:
    """The half-life under which decayed popularity best foretells the latest events, by likelihood.

    Args:
        items: `[events]`, what was engaged with.
        times: `[events]` int64, UTC epoch milliseconds.
        size: how many items there are.

    Returns:
        milliseconds; infinite where nothing beats popularity of all time.
    """
    if len(times) < 2:
        return float("inf")
    cut = np.quantile(times, 1 - LATEST, method="nearest")
    known, span = times < cut, float(times.max() - times.min())
    if not known.any() or not span:
        return float("inf")
    overall = np.bincount(items[known], minlength=size) + 1.0
    best, found = -np.inf, float("inf")
    for trial in [float("inf"), *(span / 2**k for k in range(HALVINGS))]:
        counts = np.bincount(items[known], decayed(times[known], cut, trial), minlength=size)
        forecast = (1 - BLEND) * counts / max(counts.sum(), 1e-300) + BLEND * overall / overall.sum()
        likelihood = np.log(forecast[items[~known]]).mean()
        if likelihood > best:
            best, found = likelihood, trial
    return found


def in_words(half: float) -> str:
    """A half-life of milliseconds, for people."""
    return f"{half / DAY_MS:,.1f} days" if np.isfinite(half) else "none, nothing fades"


def trends(items: np.ndarray, times: np.ndarray, size: int, boundary: int, half: float) -> np.ndarray:
    """Each item's share of the recent events over its share of all before `boundary`; `[items]` float32, 1 for steady.

    Args:
        items: `[events]`.
        times: `[events]` int64; events at or after the boundary are not looked at.
        size: how many items there are.
        boundary: UTC epoch milliseconds.
        half: half-life, milliseconds.
    """
    before = times < boundary
    weights = decayed(times[before], boundary, half)
    recent, overall = (np.bincount(items[before], w, minlength=size) for w in (weights, None))
    level = weights.sum() / max(1, len(weights))
    if not level:
        return np.ones(size, np.float32)
    return ((recent + TREND_PRIOR * level) / (level * (overall + TREND_PRIOR))).astype(np.float32)


def decayed(times: np.ndarray, now: float, half: float) -> np.ndarray:
    """What events of these times count at `now`: half as much after each half-life; all milliseconds."""
    return np.asarray(0.5 ** ((now - times) / half))
