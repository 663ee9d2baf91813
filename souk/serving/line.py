"""Where requests wait for the models: those in flight are answered together, and more than can be are sent away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from souk.serving.request import Request
from souk.serving.seldom import Seldom
from souk.serving.slate import Slate
from souk.serving.turns import Body, Part, Turns

logger = logging.getLogger(__name__)
seldom = Seldom(logger)
Answer = Callable[[Sequence[Request]], list[Slate]]
Told = tuple[Body, Callable[..., None], Any]


class Overloaded(Exception):
    """More is asked than can be answered in time.

    Args:
        seconds: after which it is worth asking again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Expected less to do. Received: a line of {seconds:.2f} s. Ask again later.")
        self.seconds = seconds


class Line:
    """Answers requests in one thread of its own, as many together as are waiting; of a call of many, a part at a time.

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
        self._changed, self._turns = threading.Condition(), Turns(clock)
        threading.Thread(target=self._work, name="recommender", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Requests that wait or are being answered."""
        with self._changed:
            return self._turns.waiting + self._turns.running

    async def slates(self, requests: Sequence[Request]) -> list[Slate]:
        """The slates of one call.

        Raises:
            Overloaded: they would come too late.
        """
        loop = asyncio.get_running_loop()
        body = Body(requests, loop.create_future(), loop)
        with self._changed:
            turns = self._turns
            if (turns.waiting or turns.running) and (turns.full(body) or turns.late(body)):
                raise Overloaded(turns.wait(body))
            turns.add(body)
            self._changed.notify()
        try:
            return await body.slates
        finally:  # an error knows where it was raised, and would hold what holds it
            del body

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns.waiting)
                batch = self._turns.begin()
            began = self._clock()
            wanted = [part for part in batch if not part.body.slates.done()]  # a client that went away
            told = self._answered(wanted) if wanted else []
            with self._changed:
                self._turns.end(sum(len(part.requests) for part in wanted), self._clock() - began)
            _tell(told)
            del batch, wanted, told  # they hold a release while this waits

    def _answered(self, batch: Sequence[Part]) -> list[Told]:
        """What to tell of bodies that are answered now; where that fails, each alone; or else without the models."""
        requests = [request for part in batch for request in part.requests]
        try:
            slates = self._answer(requests)
        except BaseException as raised:  # nobody would be answered any more if this thread ended
            if len(batch) > 1:
                return [told for part in batch for told in self._answered([part])]
            error = raised if isinstance(raised, Exception) else RuntimeError(type(raised).__name__)
            seldom.exception("answering without the models", error)
            error = error.with_traceback(None)  # it is told, and would hold the calls that hold it
            try:
                slates = self._fallback(requests)
            except BaseException:
                return [(batch[0].body, batch[0].body.slates.set_exception, error)]
        told = list[Told]()
        for body, own in batch:
            body.answered += slates[: len(own)]
            slates = slates[len(own) :]
            if len(body.answered) == len(body.requests):
                told.append((body, body.slates.set_result, body.answered))
        return told


def _tell(told: Iterable[Told]) -> None:
    for body, say, what in told:
        try:
            body.loop.call_soon_threadsafe(_say, body, say, what)
        except RuntimeError:  # the loop is closed: nobody waits
            logger.info("an answer that nobody waits for")


def _say(body: Body, say: Callable[..., None], what: object) -> None:
    if not body.slates.done():  # a client that went away
        say(what)
