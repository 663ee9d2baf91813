"""The chance of a chi-square variable, without a package for it."""

import math


def chi_square_p(statistic: float, freedom: int) -> float:
    """The chance of a chi-square variable beyond `statistic` (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    half = statistic / 2
    if freedom % 2:
        terms = (math.exp(-half + (i + 0.5) * math.log(half) - math.lgamma(i + 1.5)) for i in range(freedom // 2))
        return math.erfc(math.sqrt(half)) + (math.fsum(terms) if half else 0.0)
    terms = (math.exp(-half + i * math.log(half) - math.lgamma(i + 1)) for i in range(freedom // 2))
    return math.fsum(terms) if half else 1.0
