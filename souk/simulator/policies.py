"""Logging policies: who is shown what, and with which probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from souk.errors import SoukError, unknown
from souk.simulator.catalogue import DEPARTMENT_OF, DEPARTMENTS, Items
from souk.simulator.events import CLICK
from souk.simulator.slates import WHOLE, Requests, Slates

NAMES = ("mix", "popular", "random")
FADING = 0.9  # of yesterday's clicks, in what is popular today


class Policy(Protocol):
    """Chooses slates.

    Args:
        sources: release and arm of what has answered so far, "" for none.
    """

    sources: list[tuple[str, str]]

    def open_day(self, pools: Sequence[np.ndarray]) -> None:
        """A day begins: `pools` are the items on offer, `[m]` int64 for each department and then WHOLE."""

    def slates(self, requests: Requests, k: int, rng: np.random.Generator) -> Slates:
        """Answers requests; each pool holds at least `k` items."""

    def observe(self, rows: np.ndarray) -> None:
        """Learns what users did (`events.ROW`, in order of time), before the next requests."""

    def close_day(self) -> None:
        """A day ends."""


class Mix:
    """With probability `share` a random slate, else the popular one.

    A random slate is a uniform draw of k different items of the pool, in random order. The popular one holds the most
    clicked items of the pool, with the clicks of each day before counting FADING of those of the day after. The
    propensity of an item at a position is share / m + (1 - share) [it is the popular item of that position], m the
    size of the pool.

    Args:
        name: its name in the data.
        share: of random slates, from 0 (popular) to 1 (random).
        clicks: `[items]` float64, faded clicks so far.
    """

    def __init__(self, name: str, share: float, clicks: np.ndarray) -> None:
        self.sources = [("", name)]
        self.share = share
        self.clicks = clicks
        self._today = np.zeros_like(clicks)
        self._pools: Sequence[np.ndarray] = ()
        self._ranked: list[np.ndarray] = []

    def open_day(self, pools: Sequence[np.ndarray]) -> None:
        """Ranks every pool by the clicks before today; ties by age."""
        self._pools = pools
        self._ranked = [pool[np.argsort(-self.clicks[pool], kind="stable")] for pool in pools]

    def slates(self, requests: Requests, k: int, rng: np.random.Generator) -> Slates:
        """Answers requests."""
        count = len(requests.users)
        best = np.stack([ranked[:k] if len(ranked) >= k else self._ranked[WHOLE][:k] for ranked in self._ranked])
        sizes = np.array([len(pool) for pool in self._pools])[requests.pools]
        explored = rng.random(count) < self.share
        items = best[requests.pools]
        for pool in np.unique(requests.pools[explored]):
            rows = np.flatnonzero(explored & (requests.pools == pool))
            items[rows] = self._pools[pool][draw_slates(rng, len(self._pools[pool]), len(rows), k)]
        propensity = self.share / sizes[:, None] + (1 - self.share) * (items == best[requests.pools])
        return Slates(items, propensity, np.zeros(count, np.int64))

    def observe(self, rows: np.ndarray) -> None:
        """Counts clicks."""
        self._today += np.bincount(rows["item"][rows["kind"] == CLICK], minlength=len(self.clicks))

    def close_day(self) -> None:
        """Adds today's clicks to those of the days before."""
        self.clicks = FADING * self.clicks + self._today
        self._today = np.zeros_like(self.clicks)


def draw_slates(rng: np.random.Generator, size: int, count: int, k: int) -> np.ndarray:
    """`[count, k]`: in each row, k different numbers below `size`, every such sequence equally probable.

    Floyd's algorithm (Bentley and Floyd 1987, "A sample of brilliance"), a step for all rows at once, then shuffled.
    """
    chosen = np.full((count, k), -1, np.int64)
    for step, last in enumerate(range(size - k, size)):
        drawn = rng.integers(0, last + 1, count)
        taken = (chosen[:, :step] == drawn[:, None]).any(axis=1)
        chosen[:, step] = np.where(taken, last, drawn)
    shuffled: np.ndarray = np.take_along_axis(chosen, rng.random((count, k)).argsort(axis=1), axis=1)
    return shuffled


def pools_of(items: Items, offered: np.ndarray) -> list[np.ndarray]:
    """The items on offer, by department and then all; `offered` is `[items]` bool."""
    department = DEPARTMENT_OF[items.leaf]
    return [*(np.flatnonzero(offered & (department == d)) for d in range(len(DEPARTMENTS))), np.flatnonzero(offered)]


def check_policy(name: str, random_share: float) -> None:
    """Refuses what is no logging policy.

    Raises:
        SoukError: an unknown name, or a share that is none.
    """
    if "://" in name:
        if not name.startswith(("http://", "https://")):
            raise SoukError(
                "the policy's address to begin with http:// or https://", repr(name), "See docs/serving.md."
            )
    elif name not in NAMES:
        raise unknown("--policy", name, (*NAMES, "http://HOST:PORT/v1/models/souk"))
    if not 0 <= random_share <= 1:
        raise SoukError(
            "--random-share from 0 to 1", f"{random_share:g}", "0.5 answers every second request at random."
        )


def own_policy(name: str, random_share: float, clicks: np.ndarray) -> Mix:
    """One of NAMES."""
    shares: Mapping[str, float] = {"popular": 0.0, "random": 1.0, "mix": random_share}
    return Mix(name, shares[name], clicks)
