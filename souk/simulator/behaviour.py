"""How people behave: what each probability is, and the draws of what happens on a slate.

Examination follows the position-based model: a click needs a look at the position and an attractive item, and the two
are independent (Craswell et al. 2008, "An experimental comparison of click position-bias models"; Joachims et al. 2017,
"Unbiased learning-to-rank with biased feedback"). One looks at the next position with the probability of one's
patience, so position k, from 0, is seen with patience^k (Moffat and Zobel 2008, "Rank-biased precision").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from souk.schema import DAY_MS
from souk.simulator.catalogue import Items
from souk.simulator.parameters import START, Parameters
from souk.simulator.people import Users, taste


@dataclass(frozen=True)
class World:
    """The marketplace itself: who and what there is, and the constants."""

    parameters: Parameters
    users: Users
    items: Items


@dataclass(frozen=True)
class Odds:
    """What would happen to items shown to users; arrays of one shape.

    Args:
        click: probability of a click on an item that is looked at.
        purchase: of a purchase after a click.
        returned: of a return after a purchase.
        regret: of regret after a click without a purchase.
    """

    click: np.ndarray
    purchase: np.ndarray
    returned: np.ndarray
    regret: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """Probability that a look ends in a purchase that is kept."""
        return self.click * self.purchase * (1 - self.returned)

    @property
    def sent_back(self) -> np.ndarray:
        """Probability that a look ends in a purchase that is returned."""
        return self.click * self.purchase * self.returned

    @property
    def regretted(self) -> np.ndarray:
        """Probability that a look ends in regret: a return, or a click that was a waste."""
        return self.sent_back + self.click * (1 - self.purchase) * self.regret


def odds(world: World, users: np.ndarray, items: np.ndarray, times: np.ndarray) -> Odds:
    """The probabilities of items for users.

    Args:
        world: the marketplace.
        users: `[n]` int64.
        items: `[n, k]` int64.
        times: `[n]` int64, UTC epoch milliseconds.
    """
    p, goods = world.parameters, world.items
    tastes = world.users.tastes[:, users[:, None], goods.leaf[items]]
    liked = taste(tastes, ((times - START) / DAY_MS)[:, None], p.drift_days)
    quality, bait = goods.quality[items], goods.bait[items]
    dear = world.users.price_sensitivity[users][:, None] * goods.relative_price[items]
    click = p.click_base + liked - dear + p.click_quality * quality + p.click_bait * bait
    purchase = p.purchase_base + p.purchase_taste * liked - dear + p.purchase_quality * quality + p.purchase_bait * bait
    returned = p.return_base + p.return_quality * quality + p.return_bait * bait
    return Odds(sigmoid(click), sigmoid(purchase), sigmoid(returned), p.regret_bait * bait)


def patience(world: World, users: np.ndarray, mobile: np.ndarray) -> np.ndarray:
    """Probability of looking one position further, for users `[n]` who are on a `mobile` or not `[n]`."""
    return world.users.patience[users] * np.where(mobile, world.parameters.mobile_patience, 1.0)


def visit_probability(world: World, users: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """The hazard of a visit on a day, for users `[n]` at levels of trust broadcast against them.

    A logistic hazard in discrete time; that the time to the return tells satisfaction is of Kapoor et al. 2014, "A
    hazard based approach to user return time prediction".
    """
    p = world.parameters
    return sigmoid(world.users.readiness[users] + p.visit_trust * (trust.astype(np.float64) - p.trust_start))


@dataclass(frozen=True)
class Response:
    """What happened on slates; bool arrays `[n, k]`."""

    examined: np.ndarray
    clicked: np.ndarray
    carted: np.ndarray
    purchased: np.ndarray
    returned: np.ndarray
    regretted: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """Purchases that were not returned."""
        return self.purchased & ~self.returned


def respond(rng: np.random.Generator, world: World, chances: Odds, looking: np.ndarray) -> Response:
    """Draws what happens.

    Args:
        rng: of behaviour.
        world: the marketplace.
        chances: `[n, k]`, of the slates' items.
        looking: `[n]`, patience.
    """
    shape = chances.click.shape
    further = rng.random((shape[0], shape[1] - 1)) < looking[:, None]
    examined = np.concatenate([np.ones((shape[0], 1), bool), np.logical_and.accumulate(further, axis=1)], axis=1)
    clicked = examined & (rng.random(shape) < chances.click)
    purchased = clicked & (rng.random(shape) < chances.purchase)
    returned = purchased & (rng.random(shape) < chances.returned)
    wasted = clicked & ~purchased & (rng.random(shape) < chances.regret)
    carted = purchased | (clicked & (rng.random(shape) < world.parameters.cart_only))
    return Response(examined, clicked, carted, purchased, returned, returned | wasted)


def moved_trust(rng: np.random.Generator, parameters: Parameters, trust: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Trust after a visit: a level up for each kept purchase, one down for each regret, sometimes one forgotten.

    Args:
        rng: of behaviour.
        parameters: the constants.
        trust: `[n]` levels before.
        change: `[n]` kept purchases minus regrets of the whole visit.
    """
    forgotten = rng.random(len(trust)) < parameters.forgetting
    moved: np.ndarray = np.clip(trust.astype(np.int64) + change - forgotten, 0, parameters.trust_levels - 1)
    return moved.astype(np.uint8)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    result: np.ndarray = 1.0 / (1.0 + np.exp(-x))
    return result
