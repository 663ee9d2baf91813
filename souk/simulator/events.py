"""The rows of the events table, while they are numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from souk.schema import DAY_MS, EventType
from souk.simulator.behaviour import Response
from souk.simulator.parameters import Parameters
from souk.simulator.slates import Requests, Slates
from souk.simulator.times import Timing

KINDS = tuple(str(kind) for kind in EventType if kind is not EventType.HIDE)
IMPRESSION, CLICK, CART, PURCHASE, RETURN, RATING = range(len(KINDS))
ROW = np.dtype(
    [
        ("time", "i8"),  # UTC epoch milliseconds
        ("user", "i8"),
        ("item", "i8"),
        ("kind", "i1"),  # index into KINDS
        ("session", "i8"),
        ("request", "i8"),
        ("position", "i8"),
        ("dwell", "f8"),  # NaN for none, as value and propensity
        ("value", "f8"),
        ("mobile", "?"),
        ("location", "i1"),
        ("pool", "i1"),
        ("propensity", "f8"),
        ("source", "i4"),  # index into the policy's sources
    ]
)
RETURN_DAYS = (0.5, 2.5)  # after the purchase
RATING_DAYS = (3.0, 8.0)


@dataclass(frozen=True)
class Numbers:
    """The next session and request."""

    session: int = 0
    request: int = 0


def request_rows(
    requests: Requests, slates: Slates, timing: Timing, response: Response, sessions: np.ndarray, first: int
) -> np.ndarray:
    """The impressions, clicks, carts and purchases of requests, in order of time.

    Args:
        requests: n of them.
        slates: their answers.
        timing: when what happened.
        response: what happened.
        sessions: `[n]`, the session of each.
        first: the number of the first request.

    Returns:
        `[m]` of ROW.
    """
    shape = slates.items.shape
    shown = np.zeros(shape, ROW)
    columns = {
        "user": requests.users,
        "mobile": requests.mobile,
        "location": requests.locations,
        "time": requests.times,
    }
    columns |= {"pool": requests.pools, "source": slates.source, "session": sessions}
    columns["request"] = first + np.arange(shape[0])
    for name, values in columns.items():
        shown[name] = values[:, None]
    shown["item"], shown["propensity"], shown["position"] = slates.items, slates.propensity, np.arange(shape[1])
    shown["dwell"], shown["value"], shown["kind"] = np.nan, np.nan, IMPRESSION
    parts = [shown.ravel()]
    for kind, happened, at in (
        (CLICK, response.clicked, timing.clicked_at),
        (CART, response.carted, timing.carted_at),
        (PURCHASE, response.purchased, timing.purchased_at),
    ):
        rows = shown[happened]
        rows["kind"], rows["time"] = kind, at[happened]
        if kind == CLICK:
            rows["dwell"] = timing.dwell[happened]
        if kind == PURCHASE:
            rows["value"] = 1.0
        parts.append(rows)
    return in_order(np.concatenate(parts))


def delayed_rows(rng: np.random.Generator, p: Parameters, rows: np.ndarray, response: Response) -> np.ndarray:
    """The returns and ratings that follow the purchases among `rows` days later.

    Who keeps a purchase gives 3 to 5 stars, who returned it 1 or 2.
    """
    bought = rows[rows["kind"] == PURCHASE]
    bought = bought[np.lexsort((bought["position"], bought["request"]))]
    goes_back = response.returned[response.purchased]
    returned = bought[goes_back]
    returned["kind"] = RETURN
    returned["time"] += _days(rng, RETURN_DAYS, len(returned))
    rates = rng.random(len(bought)) < p.rating
    rated, stars = bought[rates], np.where(goes_back, rng.integers(1, 3, len(bought)), rng.integers(3, 6, len(bought)))
    rated["kind"], rated["value"] = RATING, stars[rates]
    rated["time"] += _days(rng, RATING_DAYS, len(rated))
    later = np.concatenate([returned, rated])
    later["propensity"] = np.nan
    return later


def in_order(rows: np.ndarray) -> np.ndarray:
    """By time, then request, position and kind."""
    return rows[np.lexsort((rows["kind"], rows["position"], rows["request"], rows["time"]))]


def _days(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> np.ndarray:
    return (rng.uniform(*bounds, count) * DAY_MS).astype(np.int64)
