"""What is planted: every constant of the simulated marketplace, and its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from souk.errors import SoukError

START = 1_704_067_200_000  # 2024-01-01, UTC epoch milliseconds
MAX_DAYS = 3_650
MAX_ROWS = 1_000_000  # users or items: what is held in memory
MAX_LEVELS = 200_000_000  # users times days: bytes of the truth about trust


@dataclass(frozen=True)
class Parameters:
    """The constants of `docs/simulator.md`, which names each and gives its equation.

    Probabilities are per day, visit, request or event as named; `*_base` and what stands beside it are log-odds.
    """

    slate_size: int = 10
    # tastes: standard deviations over users, and the days in which a taste turns into another
    taste_department: float = 1.0
    taste_leaf: float = 0.8
    drift_days: float = 180.0
    # items
    new_items: float = 0.3
    withdrawn_items: float = 0.05
    bait_items: float = 0.15
    price_spread: float = 0.5  # standard deviation of log price within a department
    # users
    new_users: float = 0.2
    price_sensitivity: float = 0.5  # median over users
    price_sensitivity_spread: float = 0.4  # standard deviation of its logarithm
    patience_low: float = 0.7
    patience_high: float = 0.95
    mobile_patience: float = 0.85  # factor of patience on a mobile
    # a click on what is examined
    click_base: float = -3.4
    click_quality: float = 0.3
    click_bait: float = 1.8
    # a purchase after a click
    purchase_base: float = -1.4
    purchase_taste: float = 0.5
    purchase_quality: float = 0.9
    purchase_bait: float = -0.6
    cart_only: float = 0.15
    # a return after a purchase; regret after a click without one
    return_base: float = -2.6
    return_quality: float = -0.9
    return_bait: float = 3.6
    regret_bait: float = 0.5
    # seconds on the item's page
    dwell_log: float = 3.6
    dwell_quality: float = 0.3
    dwell_bait: float = -1.6
    dwell_spread: float = 0.6
    dwell_most: float = 300.0
    # ratings
    rating: float = 0.25
    # coming back: trust has levels 0 to trust_levels - 1
    trust_levels: int = 11
    trust_start: int = 5
    visit_base: float = -2.0
    visit_spread: float = 0.4
    visit_trust: float = 0.3  # log-odds of a visit per level
    forgetting: float = 0.3  # probability that a visit ends one level lower
    more_requests: float = 0.35
    most_requests: int = 3
    browse: float = 0.5  # share of requests for one department instead of the whole catalogue
    # what a visit is worth to the marketplace, and a day's discount
    commission: float = 0.1
    return_cost: float = 2.0
    discount: float = 0.99
    # data
    travelling: float = 0.05
    late_arrivals: float = 0.01

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Parameters:
        """Reads `to_json`; raises TypeError for a name that is none."""
        return cls(**values)


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Args:
        users: all users, those who join later included.
        items: all items, those created later included.
        days: simulated days.
        seed: of every random draw.
    """

    users: int = 2_500
    items: int = 1_000
    days: int = 90
    seed: int = 1

    def check(self, parameters: Parameters) -> None:
        """Refuses what cannot be simulated.

        Raises:
            SoukError: a number out of bounds, or fewer items than a slate holds.
        """
        bounds = {
            "users": (1, MAX_ROWS),
            "items": (parameters.slate_size, MAX_ROWS),
            "days": (1, MAX_DAYS),
            "seed": (0, 2**63 - 1),
        }
        remedy = {"items": f"A slate holds {parameters.slate_size} different items."}
        for field in fields(self):
            value, (least, most) = getattr(self, field.name), bounds[field.name]
            if not least <= value <= most:
                expected = f"--{field.name} to be a whole number from {least:,} to {most:,}"
                raise SoukError(expected, f"{value}", remedy.get(field.name, "Choose another number."))
        if self.users * self.days > MAX_LEVELS:
            received = f"{self.users:,} users and {self.days:,} days"
            expected = f"at most {MAX_LEVELS:,} days of users, which are held in memory"
            raise SoukError(expected, received, "Simulate fewer users, or go on later with --after.")
