"""Where requests wait for the models: those in flight are answered together, and more than can be are sent away."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from souk.serving.request import Request
from souk.serving.slate import Slate

logger = logging.getLogger(__name__)
Answer = Callable[[Sequence[Request]], list[Slate]]
MOST = 16  # requests that are answered together: more take longer to answer than they save
LONGEST = 512  # requests that wait at most
LEARNED = 0.1  # how much the last batch says about what a request costs


class Overloaded(Exception):
    """More is asked than can be answered in time.

    Args:
        seconds: after which it is worth asking again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Expected less to do. Received: a line of {seconds:.2f} s. Ask again later.")
        self.seconds = seconds


@dataclass(frozen=True)
class Body:
    """The requests of one call, and where their slates go."""

    requests: Sequence[Request]
    slates: asyncio.Future[list[Slate]]
    loop: asyncio.AbstractEventLoop


class Line:
    """Answers requests in one thread of its own, as many together as are waiting.

    A call is sent away at once where what is before it will, by what requests cost lately, take longer than its
    deadline allows; with nothing before it it is always taken. So the line is never longer than what waits in time.

    Args:
        answer: makes slates; for one batch at a time.
        fallback: makes slates without a model, for what `answer` fails at.
        clock: monotonic seconds, those of deadlines.
    """

    def __init__(self, answer: Answer, fallback: Answer, clock: Callable[[], float] = time.monotonic) -> None:
        self._answer, self._fallback, self._clock = answer, fallback, clock
        self._changed = threading.Condition()
        self._bodies: deque[Body] = deque()
        self._waiting = self._running = 0
        self._cost = 0.0  # seconds of a request
        threading.Thread(target=self._work, name="recommender", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Requests that wait or are being answered."""
        with self._changed:
            return self._waiting + self._running

    async def slates(self, requests: Sequence[Request]) -> list[Slate]:
        """The slates of one call.

        Raises:
            Overloaded: they would come too late.
        """
        loop = asyncio.get_running_loop()
        body = Body(requests, loop.create_future(), loop)
        left = min((r.deadline for r in requests), default=math.inf) - self._clock()
        with self._changed:
            before = self._waiting + self._running
            late = (before + len(requests)) * self._cost > left
            if before and (late or before + len(requests) > LONGEST):
                raise Overloaded(before * self._cost)
            self._bodies.append(body)
            self._waiting += len(requests)
            self._changed.notify()
        return await body.slates

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._bodies)
                batch = [self._bodies.popleft()]
                while self._bodies and sum(len(b.requests) for b in (*batch, self._bodies[0])) <= MOST:
                    batch.append(self._bodies.popleft())
                self._running = sum(len(body.requests) for body in batch)
                self._waiting -= self._running
            began = self._clock()
            self._answered([body for body in batch if not body.slates.cancelled()])
            with self._changed:
                cost = (self._clock() - began) / max(1, self._running)
                self._cost += LEARNED * (cost - self._cost) if self._cost else cost
                self._running = 0

    def _answered(self, batch: Sequence[Body]) -> None:
        """Answers bodies together; where that fails, each alone; where that fails too, without the models."""
        requests = [request for body in batch for request in body.requests]
        try:
            slates = self._answer(requests)
        except Exception as error:
            if len(batch) > 1:
                for body in batch:
                    self._answered([body])
                return
            logger.exception("answering without the models")
            try:
                slates = self._fallback(requests)
            except Exception:
                for body in batch:
                    _tell(body, body.slates.set_exception, error)
                return
        for body in batch:
            own, slates = slates[: len(body.requests)], slates[len(body.requests) :]
            _tell(body, body.slates.set_result, own)


def _tell(body: Body, say: Callable[..., None], what: object) -> None:
    def now() -> None:
        if not body.slates.done():  # a client that went away
            say(what)

    try:
        body.loop.call_soon_threadsafe(now)
    except RuntimeError:  # the loop is closed: nobody waits
        logger.info("an answer that nobody waits for")
