"""What a client may ask: one instance of a request body, checked field by field.

A field that is wrong refuses the request. A feature that is wrong does not: it takes its default and is named in the
slate's `degraded`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from souk.errors import SoukError, unknown
from souk.schema import EventType
from souk.serving.filters import Filter, FilterParser
from souk.spec import Feature, FeatureSpec
from souk.state import Event, UserState, advance

END_OF_TIME = 253_402_300_800_000  # the year 10000, UTC epoch ms
ID_LENGTH = 512
LARGEST = 1e30  # numbers beyond it overflow float32 in the models
MAX_INSTANCES = 256
MAX_EVENTS = 500
MAX_EXCLUDE = 10_000
MAX_CANDIDATES = 2_000
MAX_TIMEOUT_MS = 60_000
MORE_MS = 20  # that each further instance of a body without `timeout_ms` has
EVENT_TYPES = tuple(str(kind) for kind in EventType)
EVENT_FIELDS = ("item_id", "event_type", "timestamp", "value", "event_id", "dwell_seconds", "context")


@dataclass(frozen=True)
class Request:
    """One checked request.

    Args:
        user_id: the user; one that is not known gets a slate too.
        k: items wanted.
        timestamp: the moment of the request, UTC epoch milliseconds.
        request_id: names the answer in the impression log.
        context: declared event columns.
        events: what the user did since the store was written, oldest first.
        exclude: items that must not appear.
        candidates: the only items that may appear, or None for the whole catalogue.
        filter: what is asked of the columns of items.
        state: replaces the store read (golden requests, evaluation).
        degraded: reasons that parsing found: `malformed_feature:<name>`.
        deadline: when it has to be answered, monotonic seconds.
    """

    user_id: str
    k: int
    timestamp: int
    request_id: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    exclude: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    filter: Filter = ()
    state: UserState | None = None
    degraded: tuple[str, ...] = ()
    deadline: float = math.inf


def past_events(request: Request) -> list[Event]:
    """The request's events before its own time: what is not yet past may not push out what is."""
    return [event for event in request.events if event.timestamp < request.timestamp]


def with_events(state: UserState, events: Sequence[Event], spec: FeatureSpec) -> UserState:
    """The state after the request's own events; those not newer than its last event are taken as known already."""
    last = state.events[-1].order if state.events else (-1, "")
    for event in sorted(events, key=lambda e: e.order):
        if event.order > last:
            state = advance(state, event, spec)
    return state


class RequestParser:
    """Turns JSON values into a `Request`.

    Args:
        spec: the release's feature specification; its context features are the keys of `context`.
        slate_size: `k` where a request has none.
        max_slate_size: the largest `k`.
        timeout_ms: how long a request without `timeout_ms` may take; None for as long as it takes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        slate_size: int,
        max_slate_size: int,
        timeout_ms: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_ms, self._clock = timeout_ms, clock
        self._slate_size = slate_size
        self._max_slate_size = max_slate_size
        self._context = {feature.source: feature for feature in spec.context}
        self._fields: dict[str, Callable[[str, Any], Any]] = {
            "user_id": identifier,
            "k": lambda path, value: _integer(path, value, 1, max_slate_size),
            "timestamp": _timestamp,
            "timeout_ms": lambda path, value: _integer(path, value, 1, MAX_TIMEOUT_MS),
            "exclude": lambda path, value: frozenset(_identifiers(path, value, MAX_EXCLUDE)),
            "candidates": _candidates,
            "filter": FilterParser(spec, identifier, _number).parse,
            "context": _mapping,
            "events": lambda path, value: _list(path, value, MAX_EVENTS),
        }

    def parse(
        self, instance: Any, now: int, request_id: str = "", path: str = "instance", timeout_ms: float | None = None
    ) -> Request:
        """Checks one instance.

        Args:
            instance: the parsed JSON value.
            now: the clock, UTC epoch milliseconds, for an instance without `timestamp`.
            request_id: names the answer.
            path: where the instance stands in the body, for errors.
            timeout_ms: for an instance that has none.

        Raises:
            SoukError: a field is missing, unknown, of the wrong type or out of bounds.
        """
        if not isinstance(instance, dict):
            raise SoukError(f"{path} to be an object with user_id", shown(instance), "See docs/serving.md.")
        _known_keys(path, instance, self._fields)
        if instance.get("user_id") is None:
            raise SoukError(f"{path}.user_id", "nothing", "Any text will do for a user who is not known.")
        given = {
            name: self._fields[name](f"{path}.{name}", value) for name, value in instance.items() if value is not None
        }
        timestamp, timeout = given.get("timestamp", now), given.get("timeout_ms", timeout_ms)
        context, malformed = self._features(f"{path}.context", given.get("context", {}))
        events = []
        for index, value in enumerate(given.get("events", ())):
            event, bad = self._event(f"{path}.events[{index}]", value, timestamp - 1)
            events.append(event)
            malformed.extend(bad)
        return Request(
            user_id=given["user_id"],
            k=given.get("k", self._slate_size),
            timestamp=timestamp,
            request_id=request_id,
            context=context,
            events=tuple(sorted(events, key=lambda e: e.order)),
            exclude=given.get("exclude", frozenset()),
            candidates=given.get("candidates"),
            filter=given.get("filter", ()),
            degraded=tuple(f"malformed_feature:{name}" for name in dict.fromkeys(malformed)),
            deadline=math.inf if timeout is None else self._clock() + timeout / 1000,
        )

    def parse_all(
        self, instances: Any, now: int, request_ids: Callable[[], str], timeout_ms: int | None = None
    ) -> list[Request]:
        """Checks the instances of one body; one that is wrong refuses all, and the error names its index.

        Args:
            instances: the parsed JSON value.
            now: the clock, UTC epoch milliseconds.
            request_ids: gives a new id with each call.
            timeout_ms: of the call, for instances that have none.
        """
        for_each = _list("instances", instances, MAX_INSTANCES)
        if not for_each:
            raise SoukError("instances to hold at least one request", "none", "See docs/serving.md.")
        if timeout_ms is None and self._timeout_ms is not None:
            timeout_ms = self._timeout_ms + MORE_MS * (len(for_each) - 1)
        return [
            self.parse(value, now, request_ids(), f"instances[{i}]", timeout_ms) for i, value in enumerate(for_each)
        ]

    def _event(self, path: str, value: Any, default_time: int) -> tuple[Event, list[str]]:
        if not isinstance(value, dict):
            raise SoukError(f"{path} to be an object with item_id and event_type", shown(value))
        _known_keys(path, value, EVENT_FIELDS)
        for name in ("item_id", "event_type"):
            if value.get(name) is None:
                raise SoukError(f"{path}.{name}", "nothing", "Every event names an item and an event type.")
        if value["event_type"] not in EVENT_TYPES:
            raise unknown(f"{path}.event_type", str(value["event_type"])[:ID_LENGTH], EVENT_TYPES)
        context, malformed = self._features(f"{path}.context", _mapping(f"{path}.context", value.get("context") or {}))
        given = {name: part for name, part in value.items() if part is not None}
        return (
            Event(
                item_id=identifier(f"{path}.item_id", given["item_id"]),
                event_type=given["event_type"],
                timestamp=_timestamp(f"{path}.timestamp", given.get("timestamp", max(0, default_time))),
                value=_number(f"{path}.value", given.get("value", math.nan)),
                event_id=identifier(f"{path}.event_id", given["event_id"]) if "event_id" in given else "",
                dwell_seconds=_number(f"{path}.dwell_seconds", given.get("dwell_seconds", math.nan)),
                context=context,
            ),
            malformed,
        )

    def _features(self, path: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The well-formed context values, and the names of the others."""
        _known_keys(path, values, self._context)
        present = {name: value for name, value in values.items() if value is not None}
        good = {name: value for name, value in present.items() if _fits(value, self._context[name])}
        return good, [name for name in present if name not in good]


def shown(value: Any) -> str:
    """A received value, short enough for an error."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def at_state(request: Request, state: UserState) -> Request:
    """The same request by a user whose state is given."""
    return replace(request, state=state)


def _fits(value: Any, feature: Feature) -> bool:
    if feature.length:
        return isinstance(value, list) and all(isinstance(entry, str) and _is_text(entry) for entry in value)
    if feature.dtype == "string":
        return isinstance(value, str) and _is_text(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _known_keys(path: str, values: Mapping[str, Any], known: Any) -> None:
    for name in values:
        if name not in known:
            raise unknown(f"{path}: a field", str(name)[:ID_LENGTH], known)


def identifier(path: str, value: Any) -> str:
    """The id at `path` of a body.

    Raises:
        SoukError: it is none.
    """
    if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH or not _is_text(value):
        remedy = f'Write "{value}", in quotes.' if isinstance(value, int) else ""
        raise SoukError(f"{path} to be a text of 1 to {ID_LENGTH} characters", shown(value), remedy)
    return value


def _identifiers(path: str, value: Any, most: int) -> list[str]:
    return [identifier(f"{path}[{index}]", entry) for index, entry in enumerate(_list(path, value, most))]


def _candidates(path: str, value: Any) -> tuple[str, ...]:
    ids = tuple(dict.fromkeys(_identifiers(path, value, MAX_CANDIDATES)))
    if not ids:
        raise SoukError(f"{path} to name at least one item", "none", "Leave it out to choose from the whole catalogue.")
    return ids


def _list(path: str, value: Any, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise SoukError(f"{path} to be a list", shown(value), "See docs/serving.md.")
    if len(value) > most:
        raise SoukError(f"{path} to have at most {most} entries", f"{len(value)}", "Send several requests.")
    return value


def _mapping(path: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SoukError(f"{path} to be an object of feature values", shown(value), "See docs/serving.md.")
    return value


def _integer(path: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise SoukError(
            f"{path} to be a whole number from {least} to {most}", shown(value), "Send a number within these bounds."
        )
    return value


def _timestamp(path: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < END_OF_TIME:
        raise SoukError(f"{path} to be UTC epoch milliseconds", shown(value), "Leave it out for the server's clock.")
    return value


def _number(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= LARGEST:
        raise SoukError(f"{path} to be a number", shown(value))
    return float(value)


def _is_text(value: str) -> bool:
    """Whether UTF-8 can carry it: JSON can escape half a surrogate pair."""
    return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
