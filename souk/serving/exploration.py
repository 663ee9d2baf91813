"""Places of a slate that are drawn, so that what users do tells more than how they like what they are shown anyway.

The first places stay as they are ranked. The last `slots` of the slate are drawn each from a list of its own: the
ranked items from there on are dealt to the places in turn, so that the first of each list is what would stand there
without exploration, and no item is on two lists. An item of a list of n has the propensity

    epsilon / n + (1 - epsilon) · p,

with p 1 for the first and 0 for the others (`epsilon`), or proportional to score^(1 / temperature) (`softmax`: the
first choice of a Plackett-Luce model). Places are drawn independently. So the propensity of an item is the probability
that it stands at its place, as well as that it stands in the slate, and that of the slate is the product over its
places: what estimates by inverse propensity need (Horvitz and Thompson 1952; Li et al. 2018, Offline Evaluation of
Ranking Policies with Click Models, the item-position model).

A draw follows from the request's id: it can be computed again. Only what was ranked is drawn, and it was allowed:
filters, excluded and hidden items stay out. What re-ranking wants of the slate as a whole holds for the first places.
"""

from __future__ import annotations

import numpy as np

from souk.config.experiments import Exploration
from souk.experiments import number

OFF = Exploration()


def explored(
    order: np.ndarray, log_scores: np.ndarray, k: int, rules: Exploration, request_id: str
) -> tuple[np.ndarray, np.ndarray]:
    """The first k of an order, with the last places drawn, and their propensities.

    Args:
        order: `[C]` int64, indices of candidates, best first.
        log_scores: `[C]` float64 by candidate.
        k: the size of the slate.
        rules: how many places, and how.
        request_id: what the draws follow from.

    Returns:
        `[min(k, C)]` int64, candidates; and `[min(k, C)]` float64.
    """
    best, propensities = order[:k].copy(), np.ones(min(k, len(order)))
    top = max(k - rules.slots, 1)
    places = len(best) - top
    rest = order[top : top + places * rules.pool] if places > 0 else order[:0]
    for place in range(places):
        pool = rest[place::places]
        chances = chances_of(log_scores[pool], rules)
        ends = np.cumsum(chances)
        drawn = int(np.searchsorted(ends, number(f"exploration.{place}", request_id) / 2**64 * ends[-1], side="right"))
        drawn = min(drawn, len(pool) - 1)
        best[top + place], propensities[top + place] = pool[drawn], chances[drawn]
    return best, propensities


def chances_of(log_scores: np.ndarray, rules: Exploration) -> np.ndarray:
    """The propensities of the items of one list `[n]`, float64, whose first is the best."""
    base = np.zeros(len(log_scores))
    base[0] = 1.0
    if rules.method == "softmax":
        base = np.exp((log_scores - log_scores.max()) / rules.temperature)
        base /= base.sum()
    return np.asarray(rules.epsilon / len(log_scores) + (1 - rules.epsilon) * base)
