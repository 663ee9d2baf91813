"""Calls that may hang, fail or be slow: nobody waits for them longer than they can afford."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

from souk.limits import within

logger = logging.getLogger(__name__)
T = TypeVar("T")
FAILURES = 3  # in a row, before a dependency is left alone
RETRY_SECONDS = 1.0
TOGETHER = 4  # calls on their way: those whose callers could not wait, and the next one
THREADS = 8  # lost to calls that hang, at most
STATES = CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class Unavailable(Exception):
    """A dependency that did not answer, or is left alone."""


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False)
class Call(Generic[T]):
    """A call on its way, in a thread of its dependency. A lock tells of its end, for a fifth of what a future takes.

    Args:
        of: the dependency.
        function: what is called.
        begun: when it was asked for, monotonic seconds.
        answer: of the function, once there is one.
        error: what it raised instead.
    """

    of: Dependency
    function: Callable[[], T]
    begun: float
    answer: T | None = None
    error: Exception | None = None
    _flying: threading.Lock = field(default_factory=_locked)

    def land(self) -> None:
        """Lets go of those who wait."""
        self._flying.release()

    def landed(self, seconds: float) -> bool:
        """Whether it has ended, or ends within so many seconds."""
        ended = self._flying.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))
        if ended:
            self._flying.release()
        return ended

    def result(self, seconds: float) -> T:
        """The answer, waited for until `seconds` from now, and no longer than the dependency's patience since it began.

        Raises:
            Unavailable: there is none. The call goes on; what becomes of it is counted.
        """
        if not self.landed(min(seconds, self.of.patience - self.of.since(self.begun))):
            waited = self.of.since(self.begun)
            if waited >= self.of.patience:
                self.of.count(self, False)
            raise Unavailable(f"{self.of.name}: no answer in {1000 * waited:.0f} ms")
        if self.error is not None:
            raise Unavailable(f"{self.of.name}: {type(self.error).__name__}: {self.error}") from self.error
        return cast(T, self.answer)


class Dependency:
    """A circuit breaker (Nygard 2018, chapter 5) around calls in threads of their own.

    Closed, it lets calls through. FAILURES in a row, an error or no answer within `patience`, open it: calls fail at
    once. After `retry_seconds` the next one is sent on as a probe, half-open, but nobody waits for it; its answer
    closes the breaker. A call without an answer within `patience` has failed, whoever waited and for how long; it keeps
    its thread, of which there are THREADS.

    Args:
        name: in logs and metrics.
        patience: the longest that a call may take, seconds.
        clock: monotonic seconds.
        retry_seconds: from a failure of an open breaker to the next probe.
    """

    def __init__(
        self,
        name: str,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.name, self.patience = name, patience
        self._clock, self._retry_seconds = clock, retry_seconds
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Call | None] = SimpleQueue()  # None ends a thread
        self._going: set[Call] = set()  # those that have not failed yet
        self._failures = self._busy = self._threads = 0
        self._probe_at = -math.inf
        self._probe: Call | None = None
        self._again: Call | None = None  # the one that is made again
        self._closed = False

    @property
    def state(self) -> str:
        """closed, open or half_open."""
        self._look()
        with self._lock:
            return HALF_OPEN if self._probe else OPEN if self._failures >= FAILURES else CLOSED

    def since(self, time: float) -> float:
        """Seconds from a moment to now."""
        return self._clock() - time

    def start(self, function: Callable[[], T]) -> Call[T]:
        """Begins a call.

        Raises:
            Unavailable: the dependency is left alone, or closed.
            RuntimeError: the system has no room for another thread; nothing is counted.
        """
        return self._begun(function, here=False)

    def _begun(self, function: Callable[[], T], here: bool) -> Call[T]:
        """A call that was let through; a probe never is `here`, since nobody waits for it."""
        self._look()
        call = Call(self, function, self._clock())
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self.name} is closed")
            probe = self._failures >= FAILURES
            if probe and (self._probe or self._clock() < self._probe_at):
                raise Unavailable(f"{self.name} is left alone after {self._failures} failures")
            if len(self._going) >= TOGETHER or self._busy >= THREADS:
                raise Unavailable(f"{self.name}: {self._busy} calls are on their way")
            if probe or not here:  # before anything is counted: the system may have no room for a thread
                self._send(call)
            self._probe = call if probe else None
            self._going.add(call)
        if probe:
            raise Unavailable(f"{self.name} is asked again, and not waited for")
        return call

    def call(self, function: Callable[[], T], seconds: float, here: bool = False) -> T:
        """The answer of `function`, waited for at most `seconds`; in this thread and unguarded where these are endless.

        Args:
            function: what is called.
            seconds: that the caller has.
            here: it ends within the thread's limit (souk.limits), and so needs no other thread than the caller's,
                which would take two changes of threads, a fifth of a millisecond.

        Raises:
            Unavailable: there is none.
        """
        if math.isinf(seconds):
            return function()
        if seconds <= 0:
            raise Unavailable(f"{self.name}: no time is left to ask")
        if not here:
            return self.start(function).result(seconds)
        return self._called(self._begun(function, here), seconds)

    def close(self) -> None:
        """Takes no more calls; each thread ends once it has no call."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._waiting.put(None)
            self._threads = 0

    def count(self, call: Call, good: bool) -> None:
        """Takes what became of a call into account, once. What came before a probe says nothing while it flies."""
        with self._lock:
            if call not in self._going:
                return
            self._going.discard(call)
            if call is self._again:
                self._again = None  # it holds a release
            if self._probe not in (None, call):
                return
            before, self._probe = self._failures, None
            self._failures = 0 if good else self._failures + 1
            if not good:
                self._probe_at = self._clock() + self._retry_seconds
        if before >= FAILURES and good:
            logger.warning("%s answers again", self.name)
        if before == FAILURES - 1 and not good:
            logger.warning("%s is left alone: %d failures in a row", self.name, FAILURES)

    def _send(self, call: Call) -> None:
        """Has a thread call."""
        if self._threads == self._busy:
            threading.Thread(target=self._work, name=f"{self.name}-{self._threads + 1}", daemon=True).start()
            self._threads += 1
        self._busy += 1
        self._waiting.put(call)

    def _called(self, call: Call[T], seconds: float) -> T:
        """The answer of a call that ends within the limit of this thread."""
        try:
            with within(min(seconds, self.patience)):
                answer = call.function()
        except BaseException as error:
            if isinstance(error, TimeoutError) and self.since(call.begun) < self.patience:
                self._begin_again(call)
            else:
                self.count(call, False)
            raise Unavailable(f"{self.name}: {type(error).__name__}: {error}") from error
        self.count(call, self.since(call.begun) <= self.patience)
        return answer

    def _begin_again(self, call: Call) -> None:
        """A call whose caller could not wait that long is made once more, in a thread and with all of the patience:
        what becomes of that one counts. One at a time, so that a busy machine has not twice as much to do, and none
        where the dependency is left alone meanwhile."""
        with self._lock:
            self._going.discard(call)
            if self._again or self._failures >= FAILURES or self._closed or self._busy >= THREADS:
                return
            again = Call(self, call.function, self._clock())
            with contextlib.suppress(RuntimeError):  # the system has no room for another thread
                self._send(again)
                self._going.add(again)
                self._again = again

    def _look(self) -> None:
        """Calls that have had all of the patience have failed, though they may still be on their way."""
        with self._lock:
            late = [call for call in self._going if self.since(call.begun) > self.patience]
        for call in late:
            self.count(call, False)

    def _work(self) -> None:
        while call := self._waiting.get():
            try:
                with within(self.patience):
                    call.answer = call.function()
                good = self.since(call.begun) <= self.patience
            except BaseException as error:  # what exits, or panics, would end its callers' threads
                call.error, good = _told(error), False
            with self._lock:
                self._busy -= 1
            self.count(call, good)  # before the caller goes on, so that the next one knows
            call.land()
            del call  # it holds a release while this waits


def _told(error: BaseException) -> Exception:
    """What callers are told. As a local of the thread it would keep what the error holds while that waits."""
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
