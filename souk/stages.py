"""How long the stages of a batch of requests take, for whoever listens; in evaluation and in batch nobody does."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Stages:
    """What one batch spent: seconds by stage, and when each began first, by `time.perf_counter`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.began: dict[str, float] = {}

    def add(self, name: str, began: float, ended: float) -> None:
        """Counts one passage; a stage may be passed once for each request."""
        if name in self.seconds:
            self.seconds[name] += ended - began
        else:
            self.seconds[name], self.began[name] = ended - began, began


_heard: ContextVar[Stages | None] = ContextVar("stages", default=None)


@contextmanager
def heard() -> Iterator[Stages]:
    """Hears the stages that are passed in this thread meanwhile."""
    stages = Stages()
    token = _heard.set(stages)
    try:
        yield stages
    finally:
        _heard.reset(token)


class Stage:
    """`with Stage("users"):` is one passage, half a microsecond where somebody listens.

    Args:
        name: of the stage.
    """

    __slots__ = ("_began", "_name", "_stages")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._stages = _heard.get()
        self._began = time.perf_counter() if self._stages is not None else 0.0

    def __exit__(self, *_: object) -> None:
        if self._stages is not None:
            self._stages.add(self._name, self._began, time.perf_counter())


def staged(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Each call of a function is a passage of a stage."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def passed(*args: P.args, **named: P.kwargs) -> R:
            with Stage(name):
                return function(*args, **named)

        return passed

    return wrap
