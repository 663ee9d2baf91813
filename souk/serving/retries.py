"""When what failed is tried again: what is wrong in itself never, whatever may pass after waits that grow."""

from __future__ import annotations

import math
from collections.abc import Callable

from souk.errors import SoukError

FIRST_SECONDS, MOST_SECONDS = 5.0, 300.0  # each wait is twice the one before
CONTENT = SoukError, ValueError, KeyError, TypeError  # what a file that says something else raises


class Retries:
    """Of one thing at a time.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._wait, self._at = clock, FIRST_SECONDS, math.inf

    @property
    def due(self) -> bool:
        """Whether it is to be tried again now."""
        return self._clock() >= self._at

    def begin(self) -> None:
        """Something else is tried from now on."""
        self._wait, self._at = FIRST_SECONDS, math.inf

    def failed(self, error: Exception) -> None:
        """Notes why it failed, and with that when it is due."""
        if final(error):
            self._at = math.inf
            return
        self._at, self._wait = self._clock() + self._wait, min(2 * self._wait, MOST_SECONDS)


def final(error: BaseException) -> bool:
    """Whether the same would fail for ever: an error of ours about content, that was found or that content raised.

    A disk, the memory, or a service that a class of a user's own asks may be back in a moment, whoever tells of it.
    """
    cause = error.__cause__
    return isinstance(error, SoukError) and (cause is None or isinstance(cause, CONTENT))
