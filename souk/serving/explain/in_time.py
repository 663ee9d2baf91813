"""Explanations for callers who say how long they wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from souk.errors import Unanswered
from souk.serving.beside import Arrays, Run

T = TypeVar("T")
REMEDY = "Give it more: the first one waits until TensorFlow has started."


class Late(Unanswered):
    """The time of the call is over."""

    def __init__(self) -> None:
        super().__init__(f"Expected explanations within the timeout_ms of the call. Received: none by then. {REMEDY}")


async def by(until: float, answer: Awaitable[T]) -> T:
    """The answer, waited for until then, monotonic seconds.

    Raises:
        Late: there is none by then. What is computed for it goes on.
    """
    try:
        return await asyncio.wait_for(answer, None if until == float("inf") else max(0.0, until - time.monotonic()))
    except TimeoutError as error:
        raise Late from error


def as_long_as(until: float, run: Run, clock: Callable[[], float] = time.monotonic) -> Run:
    """Runs nothing any more from then on, since nobody waits for it.

    Args:
        until: monotonic seconds.
        run: what is run before.
        clock: monotonic seconds.
    """

    def called(model: Path, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        if clock() >= until:
            raise Late
        return run(model, signature, inputs)

    return called
