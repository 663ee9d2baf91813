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
from typing import Any

from souk.serving.cost import Cost
from souk.serving.request import Request
from souk.serving.seldom import Seldom
from souk.serving.slate import Slate

logger = logging.getLogger(__name__)
seldom = Seldom(logger)
Answer = Callable[[Sequence[Request]], list[Slate]]
MOST = 16  # requests that are answered together: more take longer to answer than they save
LONGEST = 512  # requests that wait at most
SHARE = 0.5  # of a call's time, that it waits by what batches took lately: at the end of it stages are left out
TIGHT = 0.05  # seconds: who has less left is answered alone, since the most pressing request of a batch is in all's way


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

    A call is sent away at once where what is before it will, by what batches took lately, take longer than SHARE of
    its time, or together with it longer than all of it; with nothing before it it is always taken. So the line is never
    longer than what is whole when it comes.

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
        self._cost = Cost(MOST)
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
            late = self._seconds(before) > SHARE * left or self._seconds(before + len(requests), body) > left
            if before and (late or before + len(requests) > LONGEST):
                raise Overloaded(self._cost.of(before))
            self._bodies.append(body)
            self._waiting += len(requests)
            self._changed.notify()
        return await body.slates

    def _seconds(self, count: int, *more: Body) -> float:
        """How long so many requests take, those that wait and of `more` bodies; who has little time is alone."""
        pressed = [each for each in (*self._bodies, *more) if self._pressed(each)]
        alone = sum(len(each.requests) for each in pressed)
        return self._cost.of(count - alone) + sum(self._cost.of(len(each.requests)) for each in pressed)

    def _pressed(self, body: Body) -> bool:
        now = self._clock()
        return any(request.deadline - now < TIGHT for request in body.requests)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._bodies)
                batch = [self._bodies.popleft()]
                while self._bodies and self._fits(batch, self._bodies[0]):
                    batch.append(self._bodies.popleft())
                self._running = sum(len(body.requests) for body in batch)
                self._waiting -= self._running
            began = self._clock()
            wanted = [body for body in batch if not body.slates.cancelled()]
            told = self._answered(wanted) if wanted else []
            with self._changed:
                if answered := sum(len(body.requests) for body in wanted):
                    batches = math.ceil(answered / MOST)  # of a large body
                    self._cost.learn(answered / batches, (self._clock() - began) / batches)
                self._running = 0
            for body, say, what in told:
                _tell(body, say, what)
            del batch, wanted, told

    def _fits(self, batch: Sequence[Body], body: Body) -> bool:
        """Whether a body can be answered with those before it."""
        if sum(len(each.requests) for each in (*batch, body)) > MOST:
            return False
        return not self._pressed(batch[0]) and not self._pressed(body)

    def _answered(self, batch: Sequence[Body]) -> list[tuple[Body, Callable[..., None], Any]]:
        """What to tell of bodies, answered together; where that fails, each alone; or else without the models."""
        requests = [request for body in batch for request in body.requests]
        try:
            slates = [slate for at in range(0, len(requests), MOST) for slate in self._answer(requests[at : at + MOST])]
        except BaseException as raised:  # nobody would be answered any more if this thread ended
            if len(batch) > 1:
                return [told for body in batch for told in self._answered([body])]
            error = raised if isinstance(raised, Exception) else RuntimeError(type(raised).__name__)
            seldom.exception("answering without the models", error)
            try:
                slates = self._fallback(requests)
            except BaseException:
                return [(batch[0], batch[0].slates.set_exception, error)]
        told = list[tuple[Body, Callable[..., None], Any]]()
        for body in batch:
            own, slates = slates[: len(body.requests)], slates[len(body.requests) :]
            told.append((body, body.slates.set_result, own))
        return told


def _tell(body: Body, say: Callable[..., None], what: object) -> None:
    def now() -> None:
        if not body.slates.done():  # a client that went away
            say(what)

    try:
        body.loop.call_soon_threadsafe(now)
    except RuntimeError:  # the loop is closed: nobody waits
        logger.info("an answer that nobody waits for")
