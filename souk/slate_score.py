"""The score that orders slates. One definition, for what training measures, tuning, evaluation and serving.

It is the product of what the heads say, each chance to the power of its weight, and is kept as a logarithm: the product
itself is 0 for all candidates where weights are large, 1 where they are small, and an order is lost. What answers show
is its exponential. Explanations are of the same logarithm, within the ranker's graph (souk.models.export).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LEAST = -1e100  # the logarithm of a score of 0: behind all others, and still a number to those who reckon with it


def log_chances(chances: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The logarithms of what each head says, float64; -inf of 0, and of what is below it and no chance."""
    with np.errstate(divide="ignore"):
        return {head: np.log(np.maximum(values, 0), dtype=np.float64) for head, values in chances.items()}


def log_scores(logs: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """The logarithms of the scores, float64, at least LEAST.

    Args:
        logs: of the chances by head, of one shape.
        weights: exponents by head; 1 for a head without one.
    """
    total = np.zeros(next(iter(logs.values())).shape)
    for head in sorted(logs):  # in one order, so that what is equal to the one is so to the other
        weight = weights.get(head, 1.0)
        if weight:  # or a chance of 0 would count
            total += weight * logs[head]
    return np.maximum(total, LEAST, out=total)
