"""Simulated marketplaces, and their events as arrays: what the tests know comes from the files."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from souk.simulator.behaviour import sigmoid
from souk.simulator.parameters import Parameters, Size
from souk.simulator.policies import own_policy
from souk.simulator.simulation import new_marketplace, simulate
from souk.simulator.truth import Truth, read_truth


@dataclass(frozen=True)
class Simulated:
    """A folder of data."""

    folder: Path

    @cached_property
    def truth(self) -> Truth:
        return read_truth(self.folder)

    @cached_property
    def events(self) -> dict[str, np.ndarray]:
        """The events table by column; `user` and `item` are indices, numbers that are missing NaN."""
        table = pq.read_table(self.folder / "events.parquet")
        columns = {name: table[name].to_numpy() for name in table.column_names}
        for name, ids in (("user", self.truth.world.users.ids), ("item", self.truth.world.items.ids)):
            columns[name] = np.searchsorted(ids, columns[f"{name}_id"].astype(str))
        return columns

    def of(self, kind: str) -> dict[str, np.ndarray]:
        """The events of one type."""
        chosen = self.events["event_type"] == kind
        return {name: values[chosen] for name, values in self.events.items()}

    @cached_property
    def shown(self) -> dict[str, np.ndarray]:
        """Impressions with `clicked`, in the order of request and position."""
        shown, clicked = self.of("impression"), self.of("click")
        order = np.lexsort((shown["position"], shown["request_id"].astype(str)))
        shown = {name: values[order] for name, values in shown.items()}
        places = places_of(shown)
        shown["clicked"] = np.isin(places, places_of(clicked))
        return shown

    def slates(self, name: str) -> np.ndarray:
        """A column of `shown`, `[requests, slate]`."""
        return self.shown[name].reshape(-1, self.truth.world.parameters.slate_size)


def places_of(events: dict[str, np.ndarray]) -> np.ndarray:
    """One number for each request and position."""
    return np.array([int(text[1:]) for text in events["request_id"]]) * 100 + events["position"]


def make(
    folder: Path,
    users: int = 300,
    items: int = 120,
    days: int = 20,
    seed: int = 1,
    policy: str = "mix",
    share: float = 0.8,
    **constants: float,
) -> Simulated:
    """Simulates into `folder`; `constants` replace those of `Parameters`."""
    beginning = new_marketplace(Size(users, items, days, seed), replace(Parameters(), **constants))
    chosen = own_policy(policy, share, beginning.clicks)
    simulate(folder, beginning, days, seed, chosen, policy, lambda text: None)
    return Simulated(folder)


def logistic(features: list[np.ndarray], outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a logistic regression on `features`, an intercept first, and their standard errors (Newton)."""
    x, y = np.stack([np.ones(len(outcome)), *features], axis=1).astype(np.float64), outcome.astype(np.float64)
    found = np.zeros(x.shape[1])
    for _ in range(25):
        p = sigmoid(x @ found)
        curvature = (x * (p * (1 - p))[:, None]).T @ x
        found += np.linalg.solve(curvature, x.T @ (y - p))
    return found, np.sqrt(np.diag(np.linalg.inv(curvature)))


def within(found: np.ndarray, errors: np.ndarray, planted: list[float], width: float = 4.0) -> None:
    """Asserts that coefficients are the planted ones, to `width` standard errors that are themselves small."""
    assert np.abs(errors).max() < 0.15, errors
    assert (np.abs(found - planted) < width * errors).all(), (found, planted, errors)
