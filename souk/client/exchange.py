"""The calls without the network: what to send, how long to wait, what an answer means."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from souk.client.records import ClientError, Overloaded, Refused, Unavailable

FIRST, LONGEST = 0.02, 1.0  # seconds that a retry is waited for at most, doubled from the one to the other
A_DAY = 86_400.0  # seconds of one attempt or wait at most: the system's own waits end at some weeks
SHARE = 0.9  # of what is left that the server may take: the rest is the way there and back
TRANSIENT = (502, 503, 504)  # of the server's disk, or of what stands before it
UNSENT = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError, TypeError, RuntimeError)  # httpx's, json's
CALLERS = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)  # a token that is no header, a URL of no scheme
T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """A call to make; its answer, or what the network did, is handed back."""

    path: str
    body: Any
    headers: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Wait:
    """Seconds to wait."""

    seconds: float


Outcome = httpx.Response | httpx.TransportError | None
Exchange = Generator[Send | Wait, Outcome, Any]


class Calls:
    """The calls without the network: what to send, how long to wait, what an answer means.

    Args:
        url: of the server, `http://host:port`.
        token: a bearer token, or what gives the one that holds now; None for none.
        timeout: seconds of a call, its retries included; inf for no end.
        clock: monotonic seconds.
        draw: from [0, 1).
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str] | None,
        timeout: float,
        clock: Callable[[], float],
        draw: Callable[[], float],
    ) -> None:
        self.url, self._token, self._timeout = url.rstrip("/"), token, timeout
        self._clock, self._draw = clock, draw

    def exchange(self, path: str, body: Any, timeout: float | None) -> Exchange:
        """One call: it is sent until it is answered, refused, or out of time.

        Every call may be sent twice: slates change nothing, events count once by their ids, and an upsert says how an
        item is.
        """
        seconds = self._timeout if timeout is None else timeout
        if math.isnan(seconds):
            raise ClientError("the timeout is no number of seconds: nan")
        end, tried = self._clock() + seconds, 0
        while True:
            left = min(end - self._clock(), A_DAY)
            outcome = yield Send(path, body, self._headers(left), max(left, 0.001))
            if isinstance(outcome, httpx.Response) and outcome.status_code == 200:
                return made(lambda answer: answer.json(), outcome)
            error, pause = self._meaning(outcome, tried)
            tried += 1
            if self._clock() + pause >= end:
                raise error
            yield Wait(min(pause, A_DAY))

    def _headers(self, left: float) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        own = {"x-souk-timeout-ms": str(int(min(60_000, max(1, 1000 * SHARE * left))))}
        return own | ({"authorization": f"Bearer {token}"} if token else {})

    def _meaning(self, outcome: Outcome, tried: int) -> tuple[ClientError, float]:
        """What an answer that is none means, and how many seconds to wait before asking again.

        Raises:
            Refused: the call is wrong.
            Unavailable: the server failed at it (500), as it would again.
            ClientError: it cannot be sent at all.
        """
        if isinstance(outcome, CALLERS):
            raise unsent(outcome) from outcome
        longest = min(LONGEST, FIRST * 2 ** min(tried, 10))
        pause = longest * (1 + self._draw()) / 2  # jitter: who failed together does not ask together
        if not isinstance(outcome, httpx.Response):
            if isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.RemoteProtocolError):
                return Unavailable(f"no answer of {self.url}: {outcome}"), pause
            if isinstance(outcome, httpx.TimeoutException):
                return Unavailable(f"no answer of {self.url} within the time"), pause
            return Unavailable(f"no answer of {self.url}: {type(outcome).__name__}: {outcome}"), pause
        text = said(outcome)
        if outcome.status_code == 429:
            return Overloaded(text), after(outcome) + pause
        if outcome.status_code in TRANSIENT:
            return Unavailable(f"{outcome.status_code}: {text}"), pause
        if outcome.status_code >= 500:
            raise Unavailable(f"{outcome.status_code}: {text}")
        raise Refused(outcome.status_code, text)


def made(make: Callable[[Any], T], answer: Any) -> T:
    """What an answer says.

    Raises:
        Unavailable: it is none of this server's, but of something else that says 200.
    """
    try:
        return make(answer)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"an answer that is none of souk's: {type(error).__name__}: {error}") from error


def unsent(error: Exception) -> ClientError:
    """A call that cannot be sent, or whose answer cannot be read."""
    return ClientError(f"the call failed: {type(error).__name__}: {error}")


def said(answer: httpx.Response) -> str:
    """What the server says of a call that it did not answer."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):  # not this server's: of a proxy
        return f"status {answer.status_code}: {answer.text[:200]}"


def after(answer: httpx.Response) -> float:
    """The seconds of `Retry-After-Ms`, or else of `Retry-After`; 0 where it has neither as a number."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = unit * float(answer.headers[name])
        except (KeyError, ValueError):  # a date, of a proxy
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return 0.0


def patience(seconds: float) -> httpx.Timeout:
    """The longest waits of one attempt. A server that is there is connected to soon; one that is not is asked again."""
    return httpx.Timeout(seconds, connect=min(seconds, max(0.05, seconds / 4)))
