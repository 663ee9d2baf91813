"""How long the stages of a request may take, and whom they may wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from souk.serving.dependency import Dependency
from souk.serving.request import Request

FINISH = 0.004  # seconds that a slate is cut, filled and written in, at least,
SPARE = 0.05  # and of what is left so much: where the last stage hangs, all of its time is gone by then
PATIENCE = 1.0  # seconds that a part may take at most


@dataclass(frozen=True)
class Guards:
    """What stands between a request and each part that may hang or fail. The models are guarded like the stores: no
    call of theirs can be broken off."""

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
