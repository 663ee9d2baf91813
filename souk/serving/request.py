"""What a client may ask: one instance of a request body, checked field by field.

A field that is wrong refuses the request. A feature that is wrong takes its default, and is named in `degraded`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from souk.errors import SoukError
from souk.ingest.outliers import Limits
from souk.release.bundle import Bundle
from souk.serving.experiments.treatment import AS_RELEASED, Treatment
from souk.serving.fields import (
    Names,
    chosen,
    event_type,
    identifier,
    identifiers,
    integer,
    known_keys,
    listed,
    mapping,
    moment,
    number,
    range_end,
)
from souk.serving.filters import Filter, FilterParser
from souk.serving.stated import MALFORMED, UNKNOWN_VALUE, Bounds, Stated
from souk.spec import FeatureSpec
from souk.state import Event, UserState
from souk.values import quoted

MAX_INSTANCES = 256
MAX_EVENTS = 500
MAX_BODY_EVENTS = 8_000  # of all instances
MAX_BODY_ITEMS = 12_800  # of all slates
MAX_EXCLUDE = 10_000
MAX_CANDIDATES = 2_000
MAX_TIMEOUT_MS = 60_000
MORE_MS = 20  # that each further instance of a body without `timeout_ms` has
SUBJECTS = ("user_id", "item_id", "events")  # one of which says for whom a slate is
SUBJECT = "Any text will do for a user who is not known; item_id alone asks for similar items."
NUMBERS = ("value", "dwell_seconds")
EVENT_FIELDS = ("item_id", "event_type", "timestamp", "value", "event_id", "dwell_seconds", "context")


@dataclass(frozen=True)
class Request:
    """One checked request.

    Args:
        user_id: the user, who may be unknown; "" for a session without a user, and for similar items.
        k: items wanted.
        timestamp: the moment of the request, UTC epoch milliseconds.
        request_id: names the answer in the impression log.
        context: declared event columns.
        profile: declared user columns, which count for this request in the place of what the store has.
        events: what the user did since the store was written, or in a session without a user, oldest first.
        exclude: items that must not appear.
        candidates: the only items that may appear, or None for the whole catalogue.
        filter: what is asked of the columns of items.
        state: replaces the store read (golden requests, evaluation, sessions without a user).
        degraded: reasons that parsing found (`Stated.parse`).
        deadline: when it has to be answered, monotonic seconds.
        item_id: without a user, the item that the slate is to be like; with one, the item to explain.
        session: whether it speaks of a session without a user, if only of one without an event yet.
        treatment: what the user's experiments change.
        bound: the release, and those beside it, that the request was parsed for, and that answer it however they change
            meanwhile (`souk.serving.experiments.bound.Bound`); None for those that answer then.
    """

    user_id: str
    k: int
    timestamp: int
    request_id: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    exclude: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    filter: Filter = ()
    state: UserState | None = None
    degraded: tuple[str, ...] = ()
    deadline: float = math.inf
    item_id: str = ""
    session: bool = False
    treatment: Treatment = AS_RELEASED
    bound: Any = field(default=None, compare=False, repr=False)

    @property
    def similar(self) -> bool:
        """Whether items like one item are asked for."""
        return bool(self.item_id) and not self.user_id and not self.events


class RequestParser:
    """Turns JSON values into a `Request`.

    Args:
        spec: the release's feature specification; its declared columns are the keys of `context` and `profile`.
        slate_size: `k` where a request has none.
        max_slate_size: the largest `k`.
        timeout_ms: how long a request without `timeout_ms` may take; None for as long as it takes.
        words: by feature, the values that the models know (`Bundle.words`).
        types: what the files call types of events, `*` for any text, with the contract's (`Bundle.event_types`).
        bounds: by table, of numbers (`Bundle.bounds`).
        names: by table, of the files (`Bundle.names`).
        clock: monotonic seconds.
    """

    @classmethod
    def of(cls, bundle: Bundle, k: int | None = None, timeout_ms: int | None = None) -> RequestParser:
        """For a bundle's server; `k` items in slates that do not say, those of its settings where None."""
        sizes = k or bundle.settings.slate_size, bundle.settings.max_slate_size
        return cls(bundle.spec, *sizes, timeout_ms, bundle.words, bundle.event_types, bundle.bounds, bundle.names)

    def __init__(
        self,
        spec: FeatureSpec,
        slate_size: int,
        max_slate_size: int,
        timeout_ms: int | None = None,
        words: Mapping[str, Collection[str]] = MappingProxyType({}),
        types: Mapping[str, str] = MappingProxyType({}),
        bounds: Mapping[str, Bounds] = MappingProxyType({}),
        names: Mapping[str, Names] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_ms, self._clock = timeout_ms, clock
        self._slate_size = slate_size
        self._max_slate_size = max_slate_size
        self._history, self._types = tuple(map(str, spec.history_events)), types
        self._limits = Limits(bounds.get("events", {}))
        self._names = names.get("events", {})
        self._context = Stated.of("events", spec, words, bounds.get("events", {}), self._names)
        self._profile = Stated.of("users", spec, words, bounds.get("users", {}), names.get("users", {}))
        # Of past events, which no model reads the context of.
        self._past = Stated.of("events", spec, {}, names=self._names)
        self._fields: dict[str, Callable[[str, Any], Any]] = {
            "user_id": identifier,
            "item_id": identifier,
            "k": lambda path, value: integer(path, value, 1, max_slate_size),
            "timestamp": moment,
            "timeout_ms": lambda path, value: integer(path, value, 1, MAX_TIMEOUT_MS),
            "exclude": lambda path, value: frozenset(identifiers(path, value, MAX_EXCLUDE)),
            "candidates": lambda path, value: chosen(path, value, MAX_CANDIDATES),
            "filter": FilterParser(spec, identifier, range_end, names.get("items", {})).parse,
            "context": mapping,
            "profile": mapping,
            "events": lambda path, value: listed(path, value, MAX_EVENTS),
        }

    def parse(
        self,
        instance: Any,
        now: int,
        request_id: str = "",
        path: str = "instance",
        timeout_ms: float | None = None,
        bound: Any = None,
        arrived: float | None = None,
    ) -> Request:
        """Checks one instance.

        Args:
            instance: the parsed JSON value.
            now: the clock, UTC epoch milliseconds, for an instance without `timestamp`.
            request_id: names the answer.
            path: where the instance stands in the body, for errors.
            timeout_ms: for an instance that has none.
            bound: who is to answer it, if not who answers then.
            arrived: from when its time counts, monotonic seconds; None for now.

        Raises:
            SoukError: a field is missing, unknown, of the wrong type or out of bounds.
        """
        if not isinstance(instance, dict):
            raise SoukError(f"{path} to be an object with user_id, item_id or events", quoted(instance), SUBJECT)
        within = {"context": self._context.names, "profile": self._profile.names}
        known_keys(path, instance, self._fields, within, self._names)
        if all(instance.get(name) is None for name in SUBJECTS):
            raise SoukError(f"{path}.user_id, or item_id, or events", "none of them", SUBJECT)
        given = {
            name: self._fields[name](f"{path}.{name}", value) for name, value in instance.items() if value is not None
        }
        user = given.get("user_id", "")
        timestamp, timeout = given.get("timestamp", now), given.get("timeout_ms", timeout_ms)
        context, reasons = self._context.parse(f"{path}.context", given.get("context", {}))
        profile, of_profile = self._profile.parse(f"{path}.profile", given.get("profile", {}))
        events, reasons = [], [*reasons, *of_profile]
        for index, value in enumerate(given.get("events", ())):
            event, bad = self._event(f"{path}.events[{index}]", value, timestamp - 1)
            events.append(event)
            reasons.extend(bad)
        return Request(
            user_id=user,
            k=given.get("k", self._slate_size),
            timestamp=timestamp,
            request_id=request_id,
            context=context,
            profile=profile,
            events=tuple(sorted(events, key=lambda e: e.order)),
            exclude=given.get("exclude", frozenset()),
            candidates=given.get("candidates"),
            filter=given.get("filter", ()),
            state=None if user else UserState(""),
            degraded=tuple(dict.fromkeys(reasons)),
            deadline=math.inf if timeout is None else (self._clock() if arrived is None else arrived) + timeout / 1000,
            item_id=given.get("item_id", ""),
            session=not user and "events" in given,
            bound=bound,
        )

    def judged(self, request: Request) -> Request:
        """A request that another release's parser checked, with the values that this release's models never saw."""
        reasons = [reason for reason in request.degraded if not reason.startswith(UNKNOWN_VALUE)]
        reasons += self._context.unknown(request.context) + self._profile.unknown(request.profile)
        return replace(request, degraded=tuple(dict.fromkeys(reasons)))

    def patience(self, timeout_ms: int | None, instances: int) -> float:
        """Seconds that a call of so many instances has which has `timeout_ms`, or none."""
        if timeout_ms is None and self._timeout_ms is not None:
            timeout_ms = self._timeout_ms + MORE_MS * (instances - 1)
        return math.inf if timeout_ms is None else timeout_ms / 1000

    def parse_all(
        self,
        instances: Any,
        now: int,
        request_ids: Callable[[], str],
        timeout_ms: int | None = None,
        bound: Any = None,
        arrived: float | None = None,
    ) -> list[Request]:
        """Checks the instances of one body; one that is wrong refuses all, and the error names its index.

        Args:
            instances: the parsed JSON value.
            now: the clock, UTC epoch milliseconds.
            request_ids: gives a new id with each call.
            timeout_ms: of the call, for instances that have none.
            bound: who is to answer them, if not who answers then.
            arrived: when the call did, monotonic seconds: parsing, and the wait for it, are part of its time.
        """
        for_each = listed("instances", instances, MAX_INSTANCES)
        if not for_each:
            raise SoukError("instances to hold at least one request", "none", "See docs/serving.md.")
        events = sum(
            len(own) for each in for_each if isinstance(each, dict) and isinstance(own := each.get("events"), list)
        )
        if events > MAX_BODY_EVENTS:
            raise SoukError(f"at most {MAX_BODY_EVENTS} events in all instances", f"{events}", "Send several calls.")
        left, arrived = self.patience(timeout_ms, len(for_each)), self._clock() if arrived is None else arrived
        requests = [
            self.parse(value, now, request_ids(), f"instances[{i}]", 1000 * left, bound, arrived)
            for i, value in enumerate(for_each)
        ]
        if (items := sum(request.k for request in requests)) > MAX_BODY_ITEMS:
            raise SoukError(f"at most {MAX_BODY_ITEMS} items in all slates", f"{items}", "Send several calls.")
        return requests

    def _event(self, path: str, value: Any, default_time: int) -> tuple[Event, list[str]]:
        if not isinstance(value, dict):
            raise SoukError(f"{path} to be an object with item_id and event_type", quoted(value))
        known_keys(path, value, EVENT_FIELDS, names=self._names)
        for name in ("item_id", "event_type"):
            if value.get(name) is None:
                raise SoukError(f"{path}.{name}", "nothing", "Every event names an item and an event type.")
        kind = event_type(f"{path}.event_type", value["event_type"], self._history, self._types)
        where = f"{path}.context"
        context, reasons = self._past.parse(where, mapping(where, value.get("context") or {}))
        given = {name: part for name, part in value.items() if part is not None}
        numbers = {name: number(f"{path}.{name}", given.get(name, math.nan)) for name in NUMBERS}
        refused = self._limits.refused({"event_type": kind, **numbers})
        numbers |= dict.fromkeys(refused, math.nan)
        reasons += [f"{MALFORMED}{name}" for name in refused]
        clipped = self._limits.clipped({"event_type": kind, **numbers})
        return (
            Event(
                item_id=identifier(f"{path}.item_id", given["item_id"]),
                event_type=kind,
                timestamp=moment(f"{path}.timestamp", given.get("timestamp", max(0, default_time))),
                event_id=identifier(f"{path}.event_id", given["event_id"]) if "event_id" in given else "",
                context=context,
                value=clipped["value"],
                dwell_seconds=clipped["dwell_seconds"],
            ),
            reasons,
        )
