"""How long runs in this thread may take: what is not done by then is broken off, where it can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

TICK = 0.01  # seconds: so much later than asked for, at most, it is told to end
QUIET = 100  # ticks without a limit, after which the thread that looks waits to be woken


@dataclass(eq=False)
class Limit:
    """The limit of a thread for the time being.

    Args:
        until: monotonic seconds.
        over: whether they have passed.
        break_off: ends what runs now, from another thread; None where nothing does that can be ended.
    """

    until: float
    over: bool = False
    break_off: Callable[[], object] | None = None

    @contextmanager
    def ending(self, break_off: Callable[[], object]) -> Iterator[None]:
        """What runs meanwhile is ended by `break_off`.

        Raises:
            TimeoutError: time is over already.
        """
        self.break_off = break_off
        try:
            if self.over:
                raise TimeoutError("its time was over before")
            yield
        finally:
            self.break_off = None

    def end(self) -> None:
        """Time is over."""
        self.over = True
        if break_off := self.break_off:
            break_off()


_limit: ContextVar[Limit | None] = ContextVar("limit", default=None)


def limit() -> Limit | None:
    """That of this thread; None without one."""
    return _limit.get()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Runs that look at `limit` end by then, with TimeoutError (souk.graphs.Graph does); others take what they take."""
    own = Limit(time.monotonic() + seconds)
    _ends.add(own)
    token = _limit.set(own)
    try:
        yield
    finally:
        _ends.discard(own)
        _limit.reset(token)


class _Ends:
    """Tells limits that they are over.

    A thread looks every TICK: to wake one for each limit would cost as much as the run in another thread would.
    """

    def __init__(self) -> None:
        self._limits: dict[Limit, None] = {}
        self._awake, self._lock = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None
        self._added = 0

    def add(self, own: Limit) -> None:
        if self._stands_still():
            self._start()
        self._limits[own] = None
        self._added += 1
        if not self._awake.is_set():
            self._awake.set()

    def discard(self, own: Limit) -> None:
        del self._limits[own]

    def _stands_still(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def _start(self) -> None:
        with self._lock:
            if self._stands_still():
                thread = threading.Thread(target=self._look, name="limits", daemon=True)
                thread.start()
                self._thread = thread

    def _look(self) -> None:
        while self._awake.wait():
            quiet = 0
            while quiet < QUIET:
                added = self._added
                time.sleep(TICK)
                now = time.monotonic()
                for own in list(self._limits):
                    if now >= own.until and not own.over:
                        own.end()
                quiet = 0 if self._limits or added != self._added else quiet + 1
            self._awake.clear()
            if self._limits:  # one came between the last look and that
                self._awake.set()


_ends = _Ends()
