"""What the peers are fitted on, and how much each event of it, or of a history, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from souk.evaluation.queries import Catalogue, Query
from souk.evaluation.window import Window
from souk.metrics import Floats, Ints
from souk.schema import DAY_MS
from souk.spec import FeatureSpec
from souk.state import engaging


@dataclass(frozen=True)
class Interactions:
    """The engaging events before a window, by user, each user's oldest first.

    Args:
        users: `[events] int64`, places in `names`, ascending.
        items: `[events] int64`, places in the catalogue.
        times: `[events] int64`, UTC epoch milliseconds.
        names: user ids.
        size: items of the catalogue.
        end: one past the last time: the start of the window.
    """

    users: Ints
    items: Ints
    times: Ints
    names: tuple[str, ...]
    size: int
    end: int

    @classmethod
    def of(cls, catalogue: Catalogue) -> Interactions:
        """All that the catalogue of a window knows."""
        names = tuple(catalogue.engaged_users)
        empty = [np.zeros(0, np.int64)]
        return cls(
            users=np.repeat(np.arange(len(names)), [len(catalogue.engaged_users[name]) for name in names]),
            items=np.concatenate([*catalogue.engaged_users.values(), *empty]),
            times=np.concatenate([*catalogue.engaged_times.values(), *empty]),
            names=names,
            size=len(catalogue.ids),
            end=catalogue.start,
        )

    @property
    def ages(self) -> Floats:
        """`[events]` days from each event to the start of the window."""
        return np.asarray((self.end - self.times) / DAY_MS)

    def weights(self, age: Decay) -> Floats:
        """`[events]` what each event counts by its age at the start of the window."""
        return age(1 + self.ages)

    @property
    def moments(self) -> Ints:
        """`[events]` the number of each user's moment: events of one time share one."""
        return _numbered(self.users, self.times)

    @property
    def place(self) -> dict[str, int]:
        """The place of each user id."""
        return {name: place for place, name in enumerate(self.names)}


@dataclass(frozen=True)
class Decay:
    """How the weight of an event falls with its distance, to the query or to another event.

    Args:
        unit: distance 1 is the nearest event ("events"), all events of the nearest time ("moments"), or less than a
            day ("days": 1 plus the days between).
        form: "power" is distance^-rate, "exponential" is exp(-rate (distance - 1)).
        rate: 0 makes all distances count the same.
        longest: what is farther away counts nothing; 0 for no bound.
    """

    unit: Literal["events", "moments", "days"] = "events"
    form: Literal["power", "exponential"] = "power"
    rate: float = 1.0
    longest: int = 0

    def __call__(self, distances: Floats | Ints) -> Floats:
        """`[...]` distances from 1 → `[...] float64`."""
        far = np.asarray(distances, np.float64)
        weights = far**-self.rate if self.form == "power" else np.exp(-self.rate * (far - 1))
        return np.where(far <= self.longest, weights, 0.0) if self.longest else weights

    def __str__(self) -> str:
        if not self.rate and not self.longest:
            return "none"
        shape = f"{self.unit}^-{self.rate:g}" if self.form == "power" else f"exp(-{self.rate:g} {self.unit})"
        return f"{shape} up to {self.longest}" if self.longest else shape

    def of_history(self, history: History) -> Floats:
        """The weight of each event of a history."""
        if self.unit == "days":
            return self(1 + history.ages)
        numbers = (
            np.arange(len(history.items))
            if self.unit == "events"
            else _numbered(np.zeros_like(history.times), history.times)
        )
        return self(1 + numbers[-1:] - numbers)


NONE = Decay(rate=0.0)  # every event counts the same
NEAR = Decay(longest=20)


@dataclass(frozen=True)
class History:
    """What a query knows of its user, oldest first.

    Args:
        items: `[events] int64`, places in the catalogue.
        times: `[events] int64`, UTC epoch milliseconds.
        now: the time of the query.
    """

    items: Ints
    times: Ints
    now: int

    @property
    def ages(self) -> Floats:
        """`[events]` days from each event to the query."""
        return np.asarray((self.now - self.times) / DAY_MS)


class Histories:
    """Gives the history of each query of a window.

    Args:
        times: per user, the times of all engaging events, oldest first.
    """

    def __init__(self, times: Mapping[str, Ints]) -> None:
        self._times = times

    @classmethod
    def of(cls, window: Window, spec: FeatureSpec) -> Histories:
        """From the users who engage in a window."""
        return cls(
            {
                user: np.array([event.timestamp for event in events if engaging(event, spec)], np.int64)
                for user, events in window.events.items()
            }
        )

    def __call__(self, query: Query) -> History:
        """What the query knows; the engaged events before it are the first ones of its user."""
        return History(query.history, self._times[query.user_id][: len(query.history)], query.timestamp)


def _numbered(users: Ints, times: Ints) -> Ints:
    """Numbers the distinct times of each user from 0, in order; `users` and `times` `[events]`."""
    if not len(times):
        return np.zeros(0, np.int64)
    first = np.append(True, users[1:] != users[:-1])
    steps = np.cumsum(first | np.append(True, times[1:] != times[:-1]))
    return steps - np.repeat(steps[first], np.diff(np.append(np.flatnonzero(first), len(users))))
