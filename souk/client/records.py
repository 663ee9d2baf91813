"""What is asked and what is answered, and how a call can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


class ClientError(Exception):
    """A call without an answer."""


class Refused(ClientError):
    """The call is wrong; the same one again would be, too.

    Args:
        status: of HTTP.
        text: what the server says: expected, received, remedy.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Overloaded(ClientError):
    """The server sends calls away (429), and there is no time left to ask again."""


class Unavailable(ClientError):
    """No server, no answer within the time, or one that says nothing (500, or not of Souk)."""


@dataclass(frozen=True)
class Event:
    """What a user did, as part of a request. `timestamp` is UTC epoch milliseconds; just before the request without."""

    item_id: str
    event_type: str
    timestamp: int | None = None
    value: float | None = None
    event_id: str | None = None
    dwell_seconds: float | None = None
    context: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Request:
    """A slate that is wanted: for a user (`user_id`), like an item (`item_id`), or for a session (`events`).

    Args:
        user_id: who asks; one who is not known gets a slate too.
        item_id: in place of a user: items like this one.
        events: what the user did just now, also as the body has them; alone, a session without a user.
        k: items wanted; the release's slate size without it.
        context: the declared event columns of this moment.
        exclude: item ids that must not appear.
        candidates: the only item ids that may appear.
        filter: conditions on declared columns of items.
        timestamp: the moment, UTC epoch milliseconds; the server's clock without it.
        profile: declared columns of the user, which count for this request in the place of what the store has.
    """

    user_id: str | None = None
    item_id: str | None = None
    events: Sequence[Event | Mapping[str, Any]] | None = None
    k: int | None = None
    context: Mapping[str, Any] | None = None
    exclude: Sequence[str] | None = None
    candidates: Sequence[str] | None = None
    filter: Mapping[str, Any] | None = None
    timestamp: int | None = None
    profile: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The instance of a body."""
        made = _present(self)
        if self.events is not None:
            made["events"] = [_present(event) if isinstance(event, Event) else event for event in self.events]
        return made


@dataclass(frozen=True)
class Item:
    """One item of a slate. `scores` are probabilities by objective; `source` says what brought it."""

    item_id: str
    title: str = ""
    score: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    position: int = 0
    propensity: float = 1.0


@dataclass(frozen=True)
class Slate:
    """An answer: items, best first. `degraded` says what it had to do without; empty when all went well."""

    request_id: str
    user_id: str | None
    release: str
    arm: str
    items: tuple[Item, ...]
    degraded: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Slate:
        """From the server's JSON; fields of later versions are passed over."""
        given = _known(cls, values)
        items = tuple(Item(**_known(Item, item)) for item in values["items"])
        return cls(**{**given, "items": items, "degraded": tuple(values["degraded"])})


@dataclass(frozen=True)
class Taken:
    """What became of rows of events or items. `refused` has `row`, its number in the call, and `reason`."""

    accepted: int
    refused: tuple[Mapping[str, Any], ...]
    release: str
    duplicates: int = 0
    pending: int = 0
    created: int = 0
    ended: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Taken:
        """From the server's JSON."""
        return cls(**{**_known(cls, values), "refused": tuple(values["refused"])})


def _present(record: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {f.name: value for f in fields(record) if (value := getattr(record, f.name)) is not None}


def _known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record among those of an answer, which a later version may have more of."""
    names = {f.name for f in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
