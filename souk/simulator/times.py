"""When things happen on a slate: a user goes down it, item by item, and spends time where there is a click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from souk.simulator.behaviour import Response, World

LOOK_SECONDS = 2.0
PAY_SECONDS = 45.0


@dataclass(frozen=True)
class Timing:
    """When things happened, where they did; arrays `[n, k]`, times in UTC epoch milliseconds.

    Args:
        dwell: seconds on the item's page.
        clicked_at: time of the click.
        carted_at: time at which it was put into the cart.
        purchased_at: time of the purchase.
        end: `[n]`, when the user was done with the slate.
    """

    dwell: np.ndarray
    clicked_at: np.ndarray
    carted_at: np.ndarray
    purchased_at: np.ndarray
    end: np.ndarray


def draw_timing(
    rng: np.random.Generator, world: World, items: np.ndarray, times: np.ndarray, response: Response
) -> Timing:
    """Draws how long users stay on what they clicked; `items` is `[n, k]`, `times` `[n]` when the slate was shown."""
    p, goods = world.parameters, world.items
    centre = p.dwell_log + p.dwell_quality * goods.quality[items] + p.dwell_bait * goods.bait[items]
    seconds = np.exp(centre + p.dwell_spread * rng.standard_normal(items.shape))
    dwell = np.round(np.clip(seconds, 1.0, p.dwell_most), 1)
    spent = LOOK_SECONDS * response.examined + np.where(response.clicked, dwell, 0.0) + PAY_SECONDS * response.purchased
    done = np.cumsum(spent, axis=1)
    clicked_at = times[:, None] + ((done - spent + LOOK_SECONDS) * 1000).astype(np.int64)
    stayed = (dwell * 1000).astype(np.int64)
    return Timing(
        dwell=dwell,
        clicked_at=clicked_at,
        carted_at=clicked_at + stayed * 3 // 4,
        purchased_at=clicked_at + stayed,
        end=times + (done[:, -1] * 1000).astype(np.int64),
    )
