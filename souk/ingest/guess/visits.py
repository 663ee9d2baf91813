"""Who comes in visits: users do, in which they take several items, and items do not."""

from __future__ import annotations

import numpy as np

SOON = 30 * 60_000  # milliseconds: of one visit


def soon(codes: np.ndarray, moments: np.ndarray) -> tuple[int, float]:
    """How many events follow one of the same code, and the share of them that do within SOON."""
    order = np.lexsort((moments, codes))
    gaps = np.diff(moments[order])[codes[order][1:] == codes[order][:-1]]
    return len(gaps), float((gaps <= SOON).mean()) if len(gaps) else 0.0
