"""Warnings of what may fail at every request: a line now and then, and how many were left out."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

SECONDS = 10.0  # from one line to the next


class Seldom:
    """Tells a logger of what goes wrong again and again, at most one line in SECONDS of what is alike.

    Args:
        logger: that is told.
        clock: monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # when, and how many were left out since

    def warning(self, text: str, what: str, *more: object) -> None:
        """As a logger's. Alike is what has the same text and the same `what`: a name of ours, never a value."""
        self._say(logging.WARNING, None, text, what, *more)

    def error(self, text: str, what: str, *more: object) -> None:
        """The same of what is worse."""
        self._say(logging.ERROR, None, text, what, *more)

    def exception(self, text: str, error: Exception) -> None:
        """As a logger's. Alike is what has the same text and an error of the same type."""
        self._say(logging.ERROR, error, f"{text}: %s", type(error).__name__)

    def _say(self, level: int, error: Exception | None, text: str, what: str, *more: object) -> None:
        key, now = (text, what), self._clock()
        with self._lock:
            said, left_out = self._said.get(key, (-math.inf, 0))
            if now - said < SECONDS:
                self._said[key] = said, left_out + 1
                return
            self._said[key] = now, 0
        if left_out:
            text, more = f"{text} (%d more like it in %.0f s before)", (*more, left_out, now - said)
        self._logger.log(level, text, what, *more, exc_info=error, stacklevel=3)
