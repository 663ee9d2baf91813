"""Two distributions of one column in few numbers, for a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from souk.drift.columns import Cell

BINS = 24
BARS = 12
OTHERS = "(others)"


@dataclass(frozen=True)
class Shape:
    """Shares of reference and window over the same bins or categories.

    Args:
        labels: the categories, the most frequent first, or none for numbers.
        edges: of the bins of numbers, one more than there are bins; none for categories.
        reference: a share for each bin or category.
        window: likewise.
        medians: of the numbers of reference and window; none for categories, and where either has no value.
    """

    labels: tuple[str, ...]
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    window: tuple[float, ...]
    medians: tuple[float, ...] = ()

    @classmethod
    def of(cls, reference: Sequence[Cell], window: Sequence[Cell]) -> Shape:
        """The shape of two samples of one column, without missing values."""
        if any(isinstance(value, str) for value in (*reference[:1], *window[:1])):
            return cls._categories(Counter(map(str, reference)), Counter(map(str, window)))
        return cls._numbers(np.array(reference, np.float64), np.array(window, np.float64))

    @classmethod
    def _categories(cls, reference: Counter[str], window: Counter[str]) -> Shape:
        weight = {name: _share(reference, name) + _share(window, name) for name in reference | window}
        ordered = sorted(weight, key=lambda name: (-weight[name], name))
        shown, rest = ordered[:BARS], ordered[BARS:]
        rows = [
            [_share(counts, name) for name in shown] + ([sum(_share(counts, name) for name in rest)] if rest else [])
            for counts in (reference, window)
        ]
        return cls((*shown, *([OTHERS] if rest else [])), (), tuple(rows[0]), tuple(rows[1]))

    @classmethod
    def _numbers(cls, reference: np.ndarray, window: np.ndarray) -> Shape:
        """Bins between the outer hundredths of both samples, so that one far value does not hide the rest."""
        both = np.concatenate([reference, window])
        if not len(both):
            return cls((), (), (), ())
        low, high = np.quantile(both, (0.01, 0.99))
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        edges = np.linspace(low, high, BINS + 1)
        shares = [
            tuple((np.histogram(np.clip(v, low, high), edges)[0] / max(1, len(v))).tolist())
            for v in (reference, window)
        ]
        medians = tuple(float(np.median(v)) for v in (reference, window)) if len(reference) and len(window) else ()
        return cls((), tuple(edges.tolist()), shares[0], shares[1], medians)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Shape:
        """From the plain values of `dataclasses.asdict`."""
        return cls(**{name: tuple(value) for name, value in values.items()})


def _share(counts: Counter[str], name: str) -> float:
    return counts[name] / max(1, counts.total())
