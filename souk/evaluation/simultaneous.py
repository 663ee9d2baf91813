"""Bounds that hold for many parts at once: with twenty intervals of 95%, one is beyond chance by chance alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from souk.metrics import CELLS, Floats, Interval

LEVEL = 0.95


def upper_bounds(values: Floats, samples: int, seed: int, level: float = LEVEL) -> Floats:
    """Upper confidence bounds of the means of all columns, which hold together: the bootstrap of the largest deviation.

    Users are drawn with replacement, the same for all columns, and each column's deviation is measured in its standard
    errors; the quantile of the largest of them widens every bound (max-T: Westfall and Young 1993; Romano and Wolf
    2005). Columns that share users cost less than Bonferroni takes, and a few hundred resamplings are enough.

    Args:
        values: `[users, columns]`, NaN where a user does not belong to a column.
        samples: resamplings.
        seed: of the resampling.
        level: the chance that no true mean lies above its bound.

    Returns:
        `[columns]`; the mean itself where a column does not vary, NaN where it has fewer than two users.
    """
    member = np.isfinite(values)
    filled, counts = np.where(member, values, 0.0), member.sum(axis=0)
    means = np.divide(filled.sum(axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 1)
    spread = np.where(member, filled - means, 0.0)
    errors = np.sqrt((spread**2).sum(axis=0) / np.maximum(1, counts * (counts - 1)))
    live = np.flatnonzero(errors > 0)
    if not len(live):
        return means
    rng, users = np.random.default_rng(seed), len(values)
    largest, block = np.empty(samples), max(1, CELLS // users)
    for start in range(0, samples, block):
        drawn = [rng.integers(users, size=users) for _ in range(min(block, samples - start))]
        times = np.array([np.bincount(own, minlength=users) for own in drawn], np.float64)
        shifts = (times @ spread[:, live]) / np.maximum(1.0, times @ member[:, live])
        largest[start : start + len(drawn)] = (shifts / errors[live]).max(axis=1)
    return means + max(0.0, float(np.quantile(largest, level))) * errors


def widest_gap(parts: Sequence[Interval], users: Sequence[int], level: float = LEVEL) -> tuple[int, int, float]:
    """The two parts whose means certainly differ most, the higher one first, and the lower bound of their gap.

    Bounds of all pairs hold together, by Bonferroni over normal intervals: the widest gap of many equal parts is wide
    by chance.

    Where few users are served, the figures of a small part may vary by chance hardly at all (nobody of it was served),
    and so tell nothing of its error. That is therefore at least what all users' spread makes it, as if the parts were
    alike.

    Args:
        parts: at least two, of different users, with intervals of 95%.
        users: of each part.
        level: the chance that no true gap lies below its bound.
    """
    pairs = len(parts) * (len(parts) - 1)
    wide = NormalDist().inv_cdf(1 - (1 - level) / pairs)
    sizes, means = np.array(users, np.float64), np.array([part.mean for part in parts])
    own = np.array([part.high - part.low for part in parts]) / (2 * NormalDist().inv_cdf(0.975))
    spread = np.average(sizes * own**2 + (means - np.average(means, weights=sizes)) ** 2, weights=sizes)
    errors = np.maximum(own, np.sqrt(spread / sizes))
    bounds = means[:, None] - means - wide * np.hypot(errors[:, None], errors)
    np.fill_diagonal(bounds, -np.inf)
    high, low = divmod(int(bounds.argmax()), len(parts))
    return high, low, float(bounds[high, low])
