"""Logs as JSON lines: what they are about by its ids, and never a value of a request."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from souk.index.interface import IndexUnavailable
from souk.store.interface import StoreError

FORMATS = ("text", "json")
LONGEST = 2000  # characters of a message
OUTSIDE = ("redis.", "pymilvus.", "grpc.", "sqlite3", "feast.")  # whose errors quote names and addresses, no values
OTHERS = ("kserve", "kserve.trace", "uvicorn", "uvicorn.error", "uvicorn.access")
calls = logging.getLogger("souk.calls")  # a line for each call, in JSON only
_about: ContextVar[Sequence[tuple[str, str]]] = ContextVar("about", default=())


def about(ids: Sequence[tuple[str, str]]) -> None:
    """What follows in this task is about these requests: pairs of request id and trace id, "" for no trace."""
    _about.set(ids)


def request_id() -> str:
    """Of the first request that this task is about; "" where none is known."""
    ids = _about.get()
    return ids[0][0] if ids else ""


@contextmanager
def concerning(ids: Sequence[tuple[str, str]]) -> Iterator[None]:
    """What comes meanwhile, in this thread, is about these requests."""
    token = _about.set(ids)
    try:
        yield
    finally:
        _about.reset(token)


def answered(protocol: str, code: str, seconds: float) -> None:
    """A line for one call."""
    if calls.isEnabledFor(logging.INFO):
        calls.info("answered", extra={"call": {"protocol": protocol, "code": code, "ms": round(1000 * seconds, 2)}})


class JsonLines(logging.Formatter):
    """A line of JSON a record. Of an exception its type and where it came from, not its text: that may quote values."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": _message(record)[:LONGEST],
            **getattr(record, "call", {}),
        }
        ids = _about.get()
        if len(ids) == 1:
            line |= {"request_id": ids[0][0]} | ({"trace_id": ids[0][1]} if ids[0][1] else {})
        elif ids:
            traces = list(dict.fromkeys(trace for _, trace in ids if trace))
            line |= {"request_ids": [request for request, _ in ids]} | ({"trace_ids": traces} if traces else {})
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = record.exc_info[0].__name__
            line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-20:]]
        return orjson.dumps(line, default=str).decode()


def _message(record: logging.LogRecord) -> str:
    """The text, with errors by their types where their own text may quote a value."""
    if not isinstance(record.args, tuple):
        return record.getMessage()
    return record.msg % tuple(map(_told, record.args)) if record.args else str(record.msg)


def _told(value: object) -> object:
    if not isinstance(value, BaseException):
        return value
    cause: BaseException = value
    while cause.__cause__:
        cause = cause.__cause__
    outside = isinstance(cause, OSError | StoreError | IndexUnavailable) or type(cause).__module__.startswith(OUTSIDE)
    if outside:
        return value  # what another program said of itself
    return f"{type(value).__name__} of {type(cause).__name__}" if cause is not value else type(value).__name__


def configure(kind: str) -> None:
    """Sends all logs of the process to stderr in one of FORMATS; `text` leaves them as they are."""
    if kind != "json":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OTHERS:
        other = logging.getLogger(name)
        other.handlers.clear()
        other.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # `souk.calls` has them
    logging.getLogger("souk").setLevel(logging.INFO)
    calls.setLevel(logging.INFO)
