"""Requests and their answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from souk.simulator.catalogue import DEPARTMENTS

WHOLE = len(DEPARTMENTS)  # the pool of the whole catalogue, after one for each department


@dataclass(frozen=True)
class Requests:
    """Requests of one moment in their visits.

    Args:
        users: `[n]` int64.
        times: `[n]` int64, UTC epoch milliseconds.
        pools: `[n]` int64, a department, or WHOLE: where the items may come from.
        mobile: `[n]` bool.
        locations: `[n]` int64, index into `people.REGIONS`.
    """

    users: np.ndarray
    times: np.ndarray
    pools: np.ndarray
    mobile: np.ndarray
    locations: np.ndarray


@dataclass(frozen=True)
class Slates:
    """Answers.

    Args:
        items: `[n, k]` int64, best first, all different.
        propensity: `[n, k]` float64: the probability, before the slate was drawn, that this item would stand at this
            position for this request.
        source: `[n]` int64, index into the policy's `sources`: what answered.
    """

    items: np.ndarray
    propensity: np.ndarray
    source: np.ndarray
