"""How long the stages of a request may take, and whom they may wait for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from souk.serving.dependency import Dependency
from souk.serving.request import Request

FINISH = 0.004  # seconds that a slate is cut, filled and written in, at least,
SPARE = 0.05  # and of what is left so much: where the last stage hangs, all of its time is gone by then
PATIENCE = 1.0  # seconds that a part may take at most
Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Guards:
    """What stands between a request and each part that may hang or fail. Models that are graphs can be broken off, and
    run in the thread that asks; others are guarded like the stores."""

    users: Dependency = field(default_factory=lambda: Dependency("features", PATIENCE))
    query_tower: Dependency = field(default_factory=lambda: Dependency("query_tower", PATIENCE))
    index: Dependency = field(default_factory=lambda: Dependency("index", PATIENCE))
    ranker: Dependency = field(default_factory=lambda: Dependency("ranker", PATIENCE))

    @classmethod
    def within(cls, seconds: float) -> Guards:
        """Those of a server whose requests may take so long: half of it, or PATIENCE, is the longest for one part."""
        patience = min(PATIENCE, seconds / 2)
        return cls(*(Dependency(guard.name, patience) for guard in cls().all()))

    def of_a_release(self) -> Guards:
        """Those of another release: its models and its index may fail alone; the store is the same."""
        own = (Dependency(guard.name, guard.patience) for guard in self.all()[1:])
        return Guards(self.users, *own)

    def close(self) -> None:
        """Lets go of the threads of a release's own."""
        for guard in self.all()[1:]:
            guard.close()

    def all(self) -> tuple[Dependency, ...]:
        """In the order of the path."""
        return self.users, self.query_tower, self.index, self.ranker


class Budget:
    """What is left of the time of a batch: that of its most pressing request.

    Args:
        requests: the batch.
        clock: monotonic seconds, those of deadlines.
    """

    def __init__(self, requests: Sequence[Request], clock: Callable[[], float] = time.monotonic) -> None:
        now = clock()
        left = min(request.deadline for request in requests) - now
        self._end = now + min(left - FINISH, left * (1 - SPARE))
        self._clock = clock

    def rest(self) -> float:
        """Seconds for the last stage; infinite without a deadline, below 0 where it is too late."""
        return self._end - self._clock()

    def half(self) -> float:
        """Seconds for a stage that others follow: it may take half of what is left, so that they get some."""
        return self.rest() / 2


def by_turns(
    requests: Sequence[Request],
    keys: Sequence[Key],
    answer: Callable[[Key, Sequence[Request]], Sequence[Answer]],
    clock: Callable[[], float] = time.monotonic,
) -> list[Answer]:
    """The answers to a batch whose requests are answered together where they have the same key, one key after the
    other, that of the fewest first.

    Nobody has an answer before all have: the time of each is that of the most pressing request of the batch. Of what is
    left of it a key may take the mean of an equal share and its share of the requests, so that what hangs for one
    leaves time to those behind it.

    Args:
        requests: the batch.
        keys: of each request.
        answer: gives an answer to each request of a key.
        clock: monotonic seconds, those of deadlines.
    """
    groups: dict[Key, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    if len(groups) == 1:
        return list(answer(keys[0], requests))
    end, left, found = min((r.deadline for r in requests), default=math.inf), len(requests), dict[int, Answer]()
    by_size = sorted(groups.items(), key=lambda group: len(group[1]))
    for to_come, (key, rows) in zip(range(len(groups), 0, -1), by_size, strict=True):
        share, now = (1 / to_come + len(rows) / left) / 2, clock()
        until = now + share * (end - now)
        found |= zip(rows, answer(key, [replace(requests[row], deadline=until) for row in rows]), strict=True)
        left -= len(rows)
    return [found[row] for row in range(len(requests))]
