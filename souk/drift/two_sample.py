"""Two-sample tests of one column: reference against window. Each gives a p-value and an effect between 0 and 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from alibi_detect.cd import ChiSquareDrift, KSDrift
from scipy.stats import fisher_exact

LEAST_EXPECTED = 5.0  # of a category in a window, for the chi-square distribution to hold (Cochran 1954)


@dataclass(frozen=True)
class Outcome:
    """Of one test.

    Args:
        p: the p-value.
        effect: how far apart the samples are, from 0 to 1.
    """

    p: float
    effect: float


class Numbers:
    """Kolmogorov-Smirnov test of a numeric column; the effect is its statistic, the largest gap of the distributions.

    Args:
        reference: `[rows]` numbers, none missing.
    """

    def __init__(self, reference: Sequence[float]) -> None:
        self._detector = KSDrift(np.asarray(reference, np.float32)[:, np.newaxis])

    def test(self, window: Sequence[float]) -> Outcome:
        """Compares; both samples are taken in the reference's float32, so that equal values are ties."""
        p, distance = self._detector.score(np.asarray(window, np.float32)[:, np.newaxis])
        return Outcome(float(p[0]), float(distance[0]))


class Shares:
    """Chi-square test of a categorical column; the effect is the total variation distance.

    Categories that are too rare for a window are pooled, and unseen ones are left out: they have a test of their own.

    Args:
        reference: `[rows]` categories, none missing.
        rows: of a window, to tell which categories are rare.
    """

    def __init__(self, reference: Sequence[str], rows: int) -> None:
        self.codes = pooled(Counter(reference), rows)
        self._counts = self._count(reference)
        self._detector = None
        if len(self._counts) > 1:
            codes = np.array([self.codes[value] for value in reference])[:, np.newaxis]
            self._detector = ChiSquareDrift(codes, categories_per_feature={0: sorted(self._counts)})

    def test(self, window: Sequence[str]) -> Outcome | None:
        """Compares; None where the reference has one category only, so that nothing known can shift."""
        known = [value for value in window if value in self.codes]
        if self._detector is None or not known:
            return None
        counts = self._count(known)
        p, _ = self._detector.score(np.array([self.codes[value] for value in known])[:, np.newaxis])
        of, total = sum(self._counts.values()), len(known)
        apart = sum(abs(count / of - counts[code] / total) for code, count in self._counts.items())
        return Outcome(float(p[0]), apart / 2)

    def _count(self, values: Sequence[str]) -> Counter[int]:
        return Counter(self.codes[value] for value in values)


def shown(p: float) -> str:
    """A p-value for people; Alibi Detect computes in float32, which knows none below 1e-38."""
    return f"{p:.2g}" if p >= 1e-37 else "< 1e-37"


def pooled(counts: Counter[str], rows: int) -> dict[str, int]:
    """A code for each category, the most frequent first; the rare ones, by what `rows` would hold, share the last code.

    The shared code is filled up with the rarest of the others until it is no longer rare itself.
    """
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    least = LEAST_EXPECTED * sum(counts.values()) / max(1, rows)
    kept = sum(counts[value] >= least for value in ordered)
    if kept < len(ordered):
        while kept > 1 and sum(counts[value] for value in ordered[kept:]) < least:
            kept -= 1
    return {value: min(place, kept) for place, value in enumerate(ordered)}


def proportions(reference: int, of: int, window: int, rows: int) -> Outcome | None:
    """Fisher's exact test of two shares; the effect is their difference.

    Without a case in either sample, or with nothing else in both, it could never reject and is no test: leaving such
    ones out keeps the error rate of the others (Tarone 1990, Biometrics 46, on conditioning on the total).

    Args:
        reference: cases among `of` rows of the reference.
        of: rows of the reference.
        window: cases among `rows` of the window.
        rows: rows of the window.
    """
    if not of or not rows or reference + window in (0, of + rows):
        return None
    p = fisher_exact([[reference, of - reference], [window, rows - window]]).pvalue
    return Outcome(float(p), abs(window / rows - reference / of))
