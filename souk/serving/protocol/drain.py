"""How a server goes: it is not ready any more, serves on until nobody new comes, and tells clients to look elsewhere.

What sends requests learns of the end of a server later than the server does: a load balancer takes its time, and a
connection that is kept open knows nothing. So there is a while between SIGTERM and the last new connection.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

TOGETHER = 2.0  # seconds
CLOSE = (b"connection", b"close")


class Drain:
    """The end of a server.

    Args:
        seconds: from SIGTERM until no new connection is taken; SIGINT, and a second SIGTERM, do not wait.
        passed_on: whether another process passes signals on to this one: two SIGTERM within TOGETHER are one then, for
            what ends a whole group of processes, as systemd does, reaches both.
    """

    def __init__(self, seconds: float, passed_on: bool = False) -> None:
        self.begun = False
        self._seconds, self._together, self._first = seconds, TOGETHER if passed_on else 0.0, -math.inf

    def handler(self, end: Callable[[int, Any], None]) -> Callable[[int, Any], None]:
        """A handler of signals that calls `end` when it is time; `end` may be called by any thread."""

        def signalled(number: int, frame: Any) -> None:
            now = time.monotonic()
            if number == signal.SIGTERM and now - self._first < self._together:
                return
            wait = self._seconds if number == signal.SIGTERM and not self.begun else 0.0
            self.begun, self._first = True, now
            if wait:
                timer = threading.Timer(wait, end, (number, None))
                timer.daemon = True
                timer.start()
            else:
                end(number, frame)

        return signalled


class Draining:
    """ASGI middleware: from the begin of a drain on, connections end with their next answer."""

    def __init__(self, app: Any, drain: Drain) -> None:
        self._app, self._drain = app, drain

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Passes the call on."""

        async def told(message: Any) -> None:
            if self._drain.begun and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await self._app(scope, receive, told if scope["type"] == "http" else send)
