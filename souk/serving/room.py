"""Calls that are answered one after the other beside the slates: only so many may wait."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from souk.serving.line import Overloaded

T = TypeVar("T")
LATELY = 10  # calls, whose mean without the longest says what one takes: that, or the only one, may wait for a start


class Room:
    """A thread, and room for those who wait for it.

    Args:
        name: of the thread, and in metrics.
        most: calls that wait or are answered at most; more are told to come again.
        clock: monotonic seconds.
    """

    def __init__(self, name: str, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self._most, self._clock = name, most, clock
        self._lock = threading.Lock()
        self._inside, self._lately = 0, deque[float](maxlen=LATELY)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._thread.submit(int)  # starts it, so that no later call fails where the system has no room for a thread

    @property
    def waiting(self) -> int:
        """Calls that wait or are being answered."""
        with self._lock:
            return self._inside

    async def run(self, function: Callable[..., T], *args: Any, left: float = math.inf) -> T:
        """The answer of `function`, called in the thread. Who goes away meanwhile gives the place back with their turn.

        Args:
            function: what is called.
            args: with these.
            left: seconds that the caller has. With nobody inside, every call is taken.

        Raises:
            Overloaded: the room is full, or, by what calls took lately, those inside take longer than that.
        """
        with self._lock:
            usual = sorted(self._lately)[:-1] or [0.0]
            before = self._inside * sum(usual) / len(usual)
            if self._inside >= self._most or (self._inside and before > left):
                raise Overloaded(before)
            self._inside += 1
        future: Future[T] = self._thread.submit(self._timed, function, *args)
        future.add_done_callback(self._left)
        try:
            return await asyncio.wrap_future(future)
        finally:  # an error knows where it was raised, and would hold what holds it
            del future

    def _timed(self, function: Callable[..., T], *args: Any) -> T:
        began, done = self._clock(), True
        try:
            return function(*args)
        except Overloaded:  # its time was over, and nothing was done
            done = False
            raise
        finally:
            if done:
                with self._lock:
                    self._lately.append(self._clock() - began)

    def _left(self, _: Future[T]) -> None:
        with self._lock:
            self._inside -= 1
