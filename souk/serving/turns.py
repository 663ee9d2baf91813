"""Whose turn it is: calls of few requests together, and in turn with them a part of a call of many."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from souk.serving.cost import Cost
from souk.serving.request import Request
from souk.serving.slate import Slate

MOST = 16  # requests that are answered together: more take longer to answer than they save
LONGEST = 512  # requests of calls of few that wait at most, and of calls of many
SHARE = 0.5  # of a call's time, that it waits by what batches took lately: at the end of it stages are left out
TIGHT = 0.05  # seconds: who has less left is answered alone, since the most pressing request of a batch is in all's way
TURNS = 2  # a part of a call of many takes its own time, and that of a batch of others before it


@dataclass(eq=False)
class Body:
    """The requests of one call, and where their slates go.

    Args:
        requests: of the call.
        slates: are told to it, all at once.
        loop: of `slates`.
        deadline: of the most pressing request, monotonic seconds.
        taken: how many had their turn.
        answered: the slates of these.
    """

    requests: Sequence[Request]
    slates: asyncio.Future[list[Slate]]
    loop: asyncio.AbstractEventLoop
    deadline: float = field(init=False)
    taken: int = 0
    answered: list[Slate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deadline = min((request.deadline for request in self.requests), default=math.inf)

    @property
    def many(self) -> bool:
        """Whether it is answered in parts."""
        return len(self.requests) > MOST

    @property
    def rest(self) -> int:
        """How many requests wait for their turn."""
        return len(self.requests) - self.taken


class Part(NamedTuple):
    """What is answered of a body in one turn."""

    body: Body
    requests: Sequence[Request]


class Turns:
    """Bodies that wait, in the order in which they are answered.

    Those of at most MOST requests go in the order in which they came, as many together as there are. Of the others, the
    one whose time is up first gives a part. Where both wait they take turns, so that a call of one request never waits
    for the whole of one of hundreds, and that one is done after twice its own time at the latest.

    It is not locked: who uses it from several threads does.

    Args:
        clock: monotonic seconds, those of deadlines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._cost = clock, Cost(MOST)
        self._few, self._many = deque[Body](), list[Body]()
        self._running, self._of_many = 0, False  # the turn that goes on, or the last one

    @property
    def waiting(self) -> int:
        """Requests whose turn has not come."""
        return sum(body.rest for body in (*self._few, *self._many))

    @property
    def running(self) -> int:
        """Requests whose turn it is."""
        return self._running

    def add(self, body: Body) -> None:
        """Has a body wait."""
        (self._many if body.many else self._few).append(body)

    def begin(self) -> list[Part]:
        """What is to be answered together now, where anything waits."""
        self._of_many = bool(self._many) and not (self._few and self._of_many)
        batch = [self._part()] if self._of_many else self._together()
        self._running = sum(len(part.requests) for part in batch)
        return batch

    def end(self, answered: int, seconds: float) -> None:
        """The turn is over.

        Args:
            answered: so many requests, less than its own where nobody waits for them any more.
            seconds: that it took.
        """
        self._running = 0
        if answered:
            self._cost.learn(answered, seconds)

    def wait(self, body: Body) -> float:
        """Seconds until the turn of a body would come, by what turns took lately."""
        if body.many:
            own = self._cost.of(min(sum(each.rest for each in self._few), MOST))
            return self._cost.of(self._running) + own + self._seconds_of_many(body.deadline)
        return self._seconds_of_few()

    def late(self, body: Body) -> bool:
        """Whether a body would wait for more than SHARE of its time, be answered after it, or make another late."""
        now, wait = self._clock(), self.wait(body)
        left = body.deadline - now
        if not body.many:
            return wait > SHARE * left or self._seconds_of_few(body) > left
        own = TURNS * self._cost.of(body.rest)
        behind = [each.deadline for each in self._many if each.deadline > body.deadline]
        spare = [deadline - now - self._seconds_of_many(deadline) for deadline in behind]
        return wait > SHARE * left or wait + own > left or any(0 <= each < own for each in spare)

    def full(self, body: Body) -> bool:
        """Whether there is no room for it."""
        alike = self._many if body.many else self._few
        return sum(each.rest for each in alike) + self._running + body.rest > LONGEST

    def _part(self) -> Part:
        body = min(self._many, key=lambda body: body.deadline)
        part = Part(body, body.requests[body.taken : body.taken + MOST])
        body.taken += len(part.requests)
        if not body.rest:
            self._many.remove(body)
        return part

    def _together(self) -> list[Part]:
        batch = [self._few.popleft()]
        while self._few and self._fits(batch, self._few[0]):
            batch.append(self._few.popleft())
        return [Part(body, body.requests) for body in batch]

    def _fits(self, batch: Sequence[Body], body: Body) -> bool:
        """Whether a body can be answered with those before it."""
        if sum(len(each.requests) for each in (*batch, body)) > MOST:
            return False
        return not self._pressed(batch[0]) and not self._pressed(body)

    def _pressed(self, body: Body) -> bool:
        return body.deadline - self._clock() < TIGHT

    def _seconds_of_few(self, *more: Body) -> float:
        """How long what runs and bodies of few take, and `more` of them, with the parts that take turns with them; who
        has little time is alone."""
        pressed = [each.rest for each in (*self._few, *more) if self._pressed(each)]
        others = sum(each.rest for each in (*self._few, *more)) - sum(pressed)
        own = self._cost.of(self._running + others) + sum(map(self._cost.of, pressed))
        turns = max(1, len(pressed) + math.ceil(others / MOST)) - bool(self._running and self._of_many)
        return own + self._cost.of(min(turns * MOST, sum(each.rest for each in self._many)))

    def _seconds_of_many(self, deadline: float) -> float:
        """How long the bodies of many take that have to be done by then, with the batches that take turns with them."""
        return TURNS * sum(self._cost.of(each.rest) for each in self._many if each.deadline <= deadline)
