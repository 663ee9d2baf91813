"""The users: what they like and how that changes, what they can spend, how patient they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from souk.schema import DAY_MS
from souk.simulator.catalogue import DEPARTMENT_OF, DEPARTMENTS, LEAVES
from souk.simulator.identifiers import identifiers
from souk.simulator.parameters import START, Parameters, Size

REGIONS = ("north", "south", "east", "west")
INCOMES = ("high", "middle", "low")
YEAR_DAYS = 365


@dataclass(frozen=True)
class Users:
    """By index, in the order in which they joined.

    Args:
        ids: `[users]` text.
        created_at: `[users]` int64, UTC epoch milliseconds.
        tastes: `[2, users, leaves]` float32: the two tastes between which a user turns.
        price_sensitivity: `[users]` float64, log-odds of a click per standard deviation of log price.
        patience: `[users]` float64, probability of looking one position further, on a desktop.
        readiness: `[users]` float64, log-odds of a visit on a day, at the trust of the start.
        mobile: `[users]` float64, share of visits on a mobile.
        region: `[users]` int64, index into REGIONS.
        income: `[users]` int64, index into INCOMES: a noisy sign of price sensitivity.
    """

    ids: np.ndarray
    created_at: np.ndarray
    tastes: np.ndarray
    price_sensitivity: np.ndarray
    patience: np.ndarray
    readiness: np.ndarray
    mobile: np.ndarray
    region: np.ndarray
    income: np.ndarray

    def table(self) -> pa.Table:
        """What a shop would know of the users: the `users` of the contract, and two more columns."""
        return pa.table(
            {
                "user_id": pa.array(self.ids.tolist(), pa.string()),
                "created_at": self.created_at,
                "region": [REGIONS[region] for region in self.region],
                "income": [INCOMES[income] for income in self.income],
            }
        )


def draw_users(rng: np.random.Generator, size: Size, parameters: Parameters) -> Users:
    """Draws the users; some join while the marketplace runs."""
    count = size.users
    new = min(int(parameters.new_users * count), count - 1)
    old = rng.integers(START - YEAR_DAYS * DAY_MS, START, count - new)
    late = rng.integers(START, START + size.days * DAY_MS, new)
    departments = parameters.taste_department * rng.standard_normal((2, count, len(DEPARTMENTS)))
    leaves = parameters.taste_leaf * rng.standard_normal((2, count, len(LEAVES)))
    spread = rng.standard_normal(count)
    seen = spread + 0.5 * rng.standard_normal(count)
    return Users(
        ids=identifiers("u", count),
        created_at=np.sort(np.concatenate([old, late])),
        tastes=(departments[:, :, DEPARTMENT_OF] + leaves).astype(np.float32),
        price_sensitivity=parameters.price_sensitivity * np.exp(parameters.price_sensitivity_spread * spread),
        patience=rng.uniform(parameters.patience_low, parameters.patience_high, count),
        readiness=parameters.visit_base + parameters.visit_spread * rng.standard_normal(count),
        mobile=rng.beta(3.0, 2.0, count),
        region=rng.integers(len(REGIONS), size=count),
        income=np.digitize(seen, [-0.6, 0.6]),
    )


def taste(tastes: np.ndarray, days: np.ndarray | float, drift_days: float) -> np.ndarray:
    """A taste turns from its first form into its second in `drift_days`, and on: a(t) = a cos(wt) + b sin(wt).

    Over users every a(t) has the same variance, and the correlation of a(t) and a(t + h) is cos(wh), w = pi / 2 D.

    Args:
        tastes: `[2, ...]`, a and b.
        days: since the start, broadcast against a.
        drift_days: D, a quarter turn.
    """
    angle = np.asarray(days, np.float64) * (math.pi / (2 * drift_days))
    turned: np.ndarray = tastes[0] * np.cos(angle) + tastes[1] * np.sin(angle)
    return turned
