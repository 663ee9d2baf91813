"""`/metrics` of several workers: whichever of them is asked answers for all, each series with the label `worker`."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from souk.serving.seldom import Seldom

logger = logging.getLogger(__name__)
seldom = Seldom(logger)
SECONDS = 2.0  # that another worker is waited for
REST_SECONDS = 0.1  # after a connection that failed
WAITING = 16  # connections
BYTES = 1 << 16  # of one read
LENGTH = struct.Struct("!Q")  # before an answer: one that is cut off is none
UP = ("# HELP souk_worker_up Whether a worker says how it is", "# TYPE souk_worker_up gauge")


def offer(folder: Path, number: int, registry: CollectorRegistry) -> None:
    """Lets the other workers ask for what this one's registry says.

    Args:
        folder: where they find each other.
        number: of this worker.
        registry: of it.
    """
    place = folder / f"{number}.sock"
    place.unlink(missing_ok=True)  # of one that was killed
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    listening.listen(WAITING)

    def answer() -> None:
        while True:
            try:
                with listening.accept()[0] as asking:
                    asking.settimeout(SECONDS)
                    text = generate_latest(registry)
                    asking.sendall(LENGTH.pack(len(text)) + text)
            except Exception as error:  # who asked is gone, or one metric cannot be told: the next may be asked for
                seldom.exception("metrics for another worker", error)
                time.sleep(REST_SECONDS)

    threading.Thread(target=answer, name="metrics for other workers", daemon=True).start()


def asked(place: Path) -> bytes | None:
    """What another worker's registry says; None where it does not say it in SECONDS."""
    until, answer = time.monotonic() + SECONDS, bytearray()
    with suppress(OSError, struct.error), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(SECONDS)
        asking.connect(str(place))
        while time.monotonic() < until and (part := asking.recv(BYTES)):
            answer += part
        if LENGTH.unpack_from(answer)[0] == len(answer) - LENGTH.size:
            return bytes(answer[LENGTH.size :])
    return None


def merged(texts: Mapping[str, bytes | None]) -> bytes:
    """One exposition of those of several workers, in Prometheus' text format.

    Args:
        texts: by worker; None where it does not answer.
    """
    up = [*UP, *(f'souk_worker_up{{worker="{worker}"}} {float(text is not None)}' for worker, text in texts.items())]
    families = {"": up}
    for worker, text in texts.items():
        lines, known, label = families[""], True, f'worker="{worker}"'
        for line in (text or b"").decode().split("\n"):
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                known = name in families
                lines = families.setdefault(name, [])
            if not line:
                continue
            if not line.startswith("#"):
                name, brace, rest = line.partition("{") if "{" in line else line.partition(" ")
                lines.append(f"{name}{{{label},{rest}" if brace == "{" else f"{name}{{{label}}} {rest}")
            elif not known:
                lines.append(line)
    return "".join(f"{line}\n" for lines in families.values() for line in lines).encode()


class OfAllWorkers:
    """ASGI middleware: `/metrics` of all workers in the place of that of this one.

    Args:
        app: what answers everything else.
        folder: where the workers find each other.
        count: of them.
    """

    def __init__(self, app: Any, folder: Path, count: int) -> None:
        self._app, self._places = app, {str(number): folder / f"{number}.sock" for number in range(count)}

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Passes the call on, or answers it."""
        if scope["type"] == "http" and scope.get("path") == "/metrics":
            text = await asyncio.to_thread(self._merged)
            await Response(text, headers={"content-type": CONTENT_TYPE_LATEST})(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _merged(self) -> bytes:
        with ThreadPoolExecutor(len(self._places)) as together:
            return merged(dict(zip(self._places, together.map(asked, self._places.values()), strict=True)))
