"""Telling an alarm: a log line, `alarm.json`, and a call to whoever starts a retrain."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from souk.direct_call import direct_call
from souk.drift.state import State
from souk.drift.two_sample import shown
from souk.errors import SoukError
from souk.folders import placed

logger = logging.getLogger(__name__)
FILE = "alarm.json"
WRITTEN = "written"  # in a record that waits for the call alone
ATTEMPTS = 3
TIMEOUT_SECONDS = 5.0
WAIT_SECONDS = 1.0


class Bell:
    """Tells each alarm once it has begun, and goes on with the next ring, or after a restart, where that is not done.

    Args:
        state: where alarms wait to be told.
        folder: where `alarm.json` goes, that of the last one; None for nowhere.
        url: is sent the alarm as JSON by POST; "" for nobody. Its path is a secret where it is a webhook's, so neither
            messages nor logs have more of it than scheme and host.
        sleep: waits for seconds.
    """

    def __init__(
        self, state: State, folder: str | Path | None, url: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._state = state
        self._folder = folder
        self._url = url
        self._host = _host(url) if url else ""
        self._sleep = sleep

    def ring(self) -> int:
        """Tells the alarms that wait, the oldest first; returns how many.

        A call that fails each time is counted, and is left to the next ring with those after it; the log and the file
        have each alarm once all the same. One that waits for its call alone goes on waiting where nobody is called.
        """
        with self._state.reading():
            untold = self._state.untold()
        waiting = [record for record in untold if self._url or WRITTEN not in record]
        if left := len(untold) - len(waiting):
            logger.warning("%d alarms wait for a call that failed, and nobody is called: give --on-alarm", left)
        answers = True
        for record in waiting:
            answers = self._tell(record, answers)
        return len(waiting)

    def _tell(self, record: Mapping[str, Any], answers: bool) -> bool:
        """Tells one; False where who is called does not answer, or did not before."""
        alarm = {name: value for name, value in record.items() if name != WRITTEN}
        unwritten = None if WRITTEN in record else self._write(alarm)
        called = answers and (not self._url or self._call(json.dumps(alarm).encode()))
        if unwritten is not None and not (self._url and called):
            raise unwritten
        with self._state.change():
            self._state.count("calls_failed", answers and not called)
            others = [each for each in self._state.untold() if each["window"] != record["window"]]
            kept = [] if called else [alarm | {WRITTEN: True}]
            self._state.put_untold(sorted(others + kept, key=lambda each: each["window"]))
        return called

    def _write(self, record: Mapping[str, Any]) -> OSError | None:
        logger.warning("%s", line(record))
        if self._folder is None:
            return None
        place = Path(self._folder, FILE)
        try:
            with placed(place) as file:
                file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        except OSError as error:  # who is called learns of it all the same
            logger.error("%s is not written: %s", place, error)
            return error
        return None

    def _call(self, body: bytes) -> bool:
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with direct_call(request, TIMEOUT_SECONDS):
                    return True
            except (OSError, http.client.HTTPException, ValueError) as error:
                logger.error("attempt %d of %d to tell %s: %s", attempt, ATTEMPTS, self._host, _reason(error))
            if attempt < ATTEMPTS:
                self._sleep(WAIT_SECONDS * attempt)
        return False


def _host(url: str) -> str:
    """Scheme and host of an address that can be called.

    Raises:
        SoukError: it is none; the text has nothing of it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number
        known = False
    if not known:
        wrong = "one of another form"
    elif "@" in parts.netloc:
        wrong = "one with a user before the host, which is not sent"
    elif not url.isascii() or not url.isprintable() or " " in url:
        wrong = "one with characters that a URL has as %XX"
    else:
        return f"{parts.scheme}://{parts.netloc}"
    raise SoukError("--on-alarm to be an http:// or https:// address", wrong, "Leave it out to call nobody.")


def _reason(error: Exception) -> str:
    """Why a call failed, with nothing of its address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers with {error.code}" + ", a redirect, which is not followed" * (300 <= error.code < 400)
    if isinstance(error, OSError):
        return str(getattr(error, "reason", error))
    return f"what it answers is no HTTP ({type(error).__name__})"


def line(record: Mapping[str, Any]) -> str:
    """The alarm in one line, the strongest drift first."""
    features = ", ".join(
        f"{f['feature']} ({f['test']}, p {shown(f['p'])}, {f['windows']} windows)" for f in record["features"]
    )
    return f"drift alarm, {record['release']}, window {record['window']}: {features}"
