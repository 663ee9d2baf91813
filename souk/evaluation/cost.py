"""What a model costs to serve, beside another one in the same run: bytes of weights, and the time of a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any


class Cost:
    """The size of a model, and how long its calls took.

    Args:
        size: bytes of the models' weights; 0 where that is not known.
        clock: seconds.
    """

    def __init__(self, size: int = 0, clock: Callable[[], float] = time.perf_counter) -> None:
        self.size = size
        self._clock = clock
        self._milliseconds: list[float] = []

    @contextmanager
    def timed(self, requests: int) -> Iterator[None]:
        """Takes the time of a call that answers `requests`."""
        start = self._clock()
        yield
        self._milliseconds.append(1000 * (self._clock() - start) / max(1, requests))

    def measure(self) -> dict[str, Any]:
        """Bytes, calls, and the median over the calls of the milliseconds per request (None without a call).

        The median passes over the first call, which builds the graph, and over pauses of the machine.
        """
        calls = self._milliseconds
        return {"bytes": self.size, "calls": len(calls), "milliseconds": median(calls) if calls else None}
