"""`/metrics` of several workers: whichever of them is asked answers for all, each series with the label `worker`."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import Response

logger = logging.getLogger(__name__)
SECONDS = 2.0  # that another worker is waited for
REST_SECONDS = 0.1  # after a connection that failed


def offer(folder: Path, number: int, registry: CollectorRegistry) -> None:
    """Lets the other workers ask for what this one's registry says.

    Args:
        folder: where they find each other.
        number: of this worker.
        registry: of it.
    """
    place = folder / f"{number}.sock"
    place.unlink(missing_ok=True)  # of one that was killed
    listener = Listener(str(place), "AF_UNIX")

    def answer() -> None:
        while True:
            try:
                with listener.accept() as pipe:
                    pipe.send_bytes(generate_latest(registry))
            except OSError as error:  # who asked is gone, or there is no room for a connection
                logger.debug("metrics for another worker: %s", error)
                time.sleep(REST_SECONDS)

    threading.Thread(target=answer, name="metrics for other workers", daemon=True).start()


def asked(place: Path) -> bytes | None:
    """What another worker's registry says; None where it does not say it in time."""
    with suppress(OSError, EOFError), Client(str(place), "AF_UNIX") as pipe:
        return pipe.recv_bytes() if pipe.poll(SECONDS) else None
    return None


def merged(texts: Mapping[str, bytes | None]) -> bytes:
    """One exposition of those of several workers.

    Args:
        texts: by worker; None where it does not answer.
    """
    up = Metric("souk_worker_up", "Whether a worker says how it is", "gauge")
    families = {up.name: up}
    for worker, text in texts.items():
        up.add_sample(up.name, {"worker": worker}, float(text is not None))
        for family in text_string_to_metric_families((text or b"").decode()):
            of_all = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for name, labels, value, *_ in family.samples:
                of_all.add_sample(name, {**labels, "worker": worker}, value)
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)


class _Families:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> list[Metric]:
        """As they are."""
        return self._families


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
        return merged({worker: asked(place) for worker, place in self._places.items()})
