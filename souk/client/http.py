"""Clients that wait, and clients for asyncio."""

from __future__ import annotations

import asyncio
import functools
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import httpx

from souk.client.exchange import UNSENT, Calls, Exchange, Outcome, Send, Wait, made, patience, unsent
from souk.client.records import Request, Slate, Taken

MODEL = "/v1/models/souk"
TIMEOUT = 1.0  # seconds of a call with all its retries
BEGINS = ("connect_tcp.started", "start_tls.started")  # of httpx's `trace` events, with what it is called with
PIECE = 1 << 14  # bytes that are written at once
OPENED = ("connect_tcp.complete", "start_tls.complete")  # that hand out a connection


class Client(Calls):
    """A client that waits.

    Args:
        url: of the server.
        token: a bearer token, or what gives the one that holds now; None for none.
        timeout: seconds of a call, its retries included; inf for no end.
        verify: httpx's: True, False, or what knows the certificates.
        clock: monotonic seconds.
        draw: from [0, 1).
    """

    def __init__(
        self,
        url: str = "http://localhost:8080",
        token: str | Callable[[], str] | None = None,
        timeout: float = TIMEOUT,
        verify: Any = True,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(url, token, timeout, clock, draw)
        self._http, self._deadline = httpx.Client(base_url=self.url, verify=verify), Deadline(clock)

    def slate(self, request: Request, timeout: float | None = None) -> Slate:
        """One slate. Raises ClientError, as all calls do."""
        return self.slates([request], timeout)[0]

    def slates(self, requests: Sequence[Request], timeout: float | None = None) -> list[Slate]:
        """The slates of at most 256 requests, in their order; `timeout` in seconds."""
        return made(_slates(len(requests)), self._run(self.exchange(f"{MODEL}:predict", _instances(requests), timeout)))

    def send_events(self, events: Sequence[Mapping[str, Any]], timeout: float | None = None) -> Taken:
        """What users did: at most 1,000 rows of the events table."""
        return made(Taken.of, self._run(self.exchange("/v1/events", {"events": list(events)}, timeout)))

    def upsert_items(self, items: Sequence[Mapping[str, Any]], timeout: float | None = None) -> Taken:
        """Items as they are now: at most 1,000 rows of the items table."""
        return made(Taken.of, self._run(self.exchange("/v1/items:upsert", {"items": list(items)}, timeout)))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, exchange: Exchange) -> Any:
        outcome: Outcome = None
        try:
            while True:
                step, outcome = exchange.send(outcome), None
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                    continue
                try:
                    outcome = self._sent(step)
                except httpx.TransportError as error:
                    outcome = error
                except UNSENT as error:
                    raise unsent(error) from error
        except StopIteration as answered:
            return answered.value

    def _sent(self, step: Send) -> httpx.Response:
        """The answer, whole, by the end of the time."""
        self._deadline.end = self._clock() + step.seconds
        return self._http.post(
            step.path,
            json=step.body,
            headers=step.headers,
            timeout=patience(step.seconds),
            extensions={"trace": self._deadline.watch},
        )


class Deadline(threading.local):
    """When the call of this thread ends. httpx's timeouts are of a connect, a read and a write each: what comes in
    drops, headers or body, and what is taken in sips would keep a call for as long as it drips.

    The system's resolution of a name alone is not bounded: its own settings say how long that takes.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self.end = clock, math.inf

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """Hears of httpx's events (its extension `trace`): nobody connects, reads or writes for longer."""
        if event.endswith(BEGINS):
            info["timeout"] = self._left(info["timeout"], httpx.ConnectTimeout)
        if event.endswith(OPENED):
            stream = info["return_value"]
            stream.read = functools.partial(self._read, stream.read)
            stream.write = functools.partial(self._write, stream.write)

    def _read(self, read: Callable[..., bytes], most: int, timeout: float | None = None) -> bytes:
        return read(most, self._left(timeout, httpx.ReadTimeout))

    def _write(self, write: Callable[..., None], data: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(data), PIECE):
            write(data[start : start + PIECE], self._left(timeout, httpx.WriteTimeout))

    def _left(self, timeout: float | None, late: type[httpx.TimeoutException]) -> float:
        left = self.end - self._clock()
        if left <= 0:
            raise late("too slow")
        return left if timeout is None else min(timeout, left)


class AsyncClient(Calls):
    """A client for asyncio; as `Client`."""

    def __init__(
        self,
        url: str = "http://localhost:8080",
        token: str | Callable[[], str] | None = None,
        timeout: float = TIMEOUT,
        verify: Any = True,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(url, token, timeout, clock, draw)
        self._http = httpx.AsyncClient(base_url=self.url, verify=verify)

    async def slate(self, request: Request, timeout: float | None = None) -> Slate:
        """See `Client.slate`."""
        return (await self.slates([request], timeout))[0]

    async def slates(self, requests: Sequence[Request], timeout: float | None = None) -> list[Slate]:
        """See `Client.slates`."""
        return made(
            _slates(len(requests)), await self._run(self.exchange(f"{MODEL}:predict", _instances(requests), timeout))
        )

    async def send_events(self, events: Sequence[Mapping[str, Any]], timeout: float | None = None) -> Taken:
        """See `Client.send_events`."""
        return made(Taken.of, await self._run(self.exchange("/v1/events", {"events": list(events)}, timeout)))

    async def upsert_items(self, items: Sequence[Mapping[str, Any]], timeout: float | None = None) -> Taken:
        """See `Client.upsert_items`."""
        return made(Taken.of, await self._run(self.exchange("/v1/items:upsert", {"items": list(items)}, timeout)))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, exchange: Exchange) -> Any:
        outcome: Outcome = None
        try:
            while True:
                step, outcome = exchange.send(outcome), None
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    continue
                try:
                    async with asyncio.timeout(step.seconds):
                        outcome = await self._http.post(
                            step.path, json=step.body, headers=step.headers, timeout=patience(step.seconds)
                        )
                except TimeoutError:
                    outcome = httpx.ReadTimeout("too slow")
                except httpx.TransportError as error:
                    outcome = error
                except UNSENT as error:
                    raise unsent(error) from error
        except StopIteration as answered:
            return answered.value


def _instances(requests: Sequence[Request]) -> dict[str, Any]:
    return {"instances": [request.to_json() for request in requests]}


def _slates(count: int) -> Callable[[Mapping[str, Any]], list[Slate]]:
    """Reads so many slates from an answer."""

    def read(answer: Mapping[str, Any]) -> list[Slate]:
        slates = [Slate.of(slate) for slate in answer["predictions"]]
        if len(slates) != count:
            raise ValueError(f"{len(slates)} slates for {count} requests")
        return slates

    return read
