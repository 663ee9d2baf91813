"""The detector as a KServe model: it takes impression records, and the CloudEvents of KServe's payload logger.

The logger sends the bodies of calls and answers in binary CloudEvents, to the URL that it is given and no other path;
so that URL ends in `/v1/models/<name>:predict`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kserve import Model
from kserve.errors import InvalidInput

from souk.drift.alarm import Bell
from souk.drift.rows import Row, RowReader
from souk.drift.windows import Monitor, Window
from souk.errors import SoukError

logger = logging.getLogger(__name__)
REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
CLOUDEVENTS = "application/cloudevents"
MAX_RECORDS = 10_000


class DriftModel(Model):
    """Takes requests into windows and answers with what that closed.

    Args:
        name: in the URL.
        monitor: of the release.
        reader: of the same.
        bell: tells alarms.
        clock: UTC epoch milliseconds.
    """

    def __init__(self, name: str, monitor: Monitor, reader: RowReader, bell: Bell, clock: Callable[[], int]) -> None:
        super().__init__(name)
        self._monitor = monitor
        self._reader = reader
        self._bell = bell
        self._clock = clock
        self._state_thread = ThreadPoolExecutor(1, "state")  # the database has one user at a time
        self._bell_thread = ThreadPoolExecutor(1, "bell")

    def load(self) -> bool:
        """Tells what an earlier process did not tell to the end."""
        self._bell_thread.submit(self._ring)
        self.ready = True
        return True

    def stop(self) -> None:
        """Waits for what was taken to be on disk and for the alarm that is being told."""
        self._state_thread.shutdown()
        self._bell_thread.shutdown(cancel_futures=True)

    def validate(self, payload: Any) -> Any:
        """`predict` checks it."""
        return payload

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Takes one body; it is on disk when this returns.

        Raises:
            InvalidInput: it is none of the known forms; it is counted.
        """
        loop = asyncio.get_running_loop()
        closed = await loop.run_in_executor(self._state_thread, self._take, payload, headers or {})
        if closed:  # of a quiet window too: the call of an alarm of before may have failed
            self._bell_thread.submit(self._ring)
        windows = [{"number": w.number, "drifted": list(w.drifted), "alarm": list(w.alarm)} for w in closed]
        return {"predictions": [{"release": self._monitor.detector.release, "windows": windows}]}

    async def explain(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        """Refuses."""
        raise InvalidInput("Expected a request to :predict. Received: one to :explain. The report explains windows.")

    def _ring(self) -> None:
        try:
            self._bell.ring()
        except Exception as error:  # in a thread that nobody waits for
            logger.error("an alarm is not told, and is told by the next or after a restart: %s", error)

    def _take(self, payload: Any, headers: Mapping[str, str]) -> list[Window]:
        try:
            rows, others = self._rows(payload, headers)
        except SoukError as error:
            with self._monitor.state.change():
                self._monitor.state.count("refused")
            raise InvalidInput(str(error)) from error
        return self._monitor.take(rows, {"other_release": others})

    def _rows(self, payload: Any, headers: Mapping[str, str]) -> tuple[Sequence[Row], int]:
        now, kind, key = self._clock(), headers.get("ce-type"), headers.get("ce-id", "")
        if kind == REQUEST:
            return self._reader.request(payload, key, now), 0
        if kind == RESPONSE:
            return self._reader.response(payload, key, now)
        if kind is not None or headers.get("content-type", "").startswith(CLOUDEVENTS):
            received = repr(kind)[:120] if kind else "a structured one"
            raise SoukError(f"a binary CloudEvent of type {REQUEST} or {RESPONSE}", received, "See docs/drift.md.")
        records = payload.get("instances") if isinstance(payload, dict) else None
        if not isinstance(records, list) or not 0 < len(records) <= MAX_RECORDS:
            received = f"{len(records)}" if isinstance(records, list) else "none"
            raise SoukError(f"a body with 1 to {MAX_RECORDS} impression records in instances", received, "")
        return self._reader.records(records, now)
