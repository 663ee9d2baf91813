"""The data contracts: the columns of events, items and users, and the event types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MINUTE_MS, DAY_MS = 60_000, 86_400_000
FOREVER = 2**62  # a time in UTC epoch milliseconds that does not come
SECONDS = range(10**9, 4_102_444_800)  # 2001 to 2099; a time that is to be in milliseconds is of early 1970 there


class EventType(StrEnum):
    """What a user did, or was shown."""

    IMPRESSION = "impression"
    CLICK = "click"
    CART = "cart"
    PURCHASE = "purchase"
    RETURN = "return"
    RATING = "rating"
    HIDE = "hide"  # not to be shown again; with the value 0 it is taken back


NO_ACTS = (EventType.IMPRESSION, EventType.HIDE)  # many, and no act of the user; what says only what not to show


class Kind(StrEnum):
    """How the values of a declared column are to be read and learned from."""

    CATEGORICAL = "categorical"
    NUMERIC = "numeric"
    TEXT = "text"
    LIST = "list"
    PATH = "path"  # "fashion/shoes/boots": every prefix is a category of its own
    VECTOR = "vector"


@dataclass(frozen=True)
class ContractColumn:
    """A column that Souk itself gives a meaning.

    Args:
        name: its name in every table of Souk.
        type: `string`, `int64` (identifiers of time are UTC epoch milliseconds), `double` or `bool`.
        required: whether a row without it is refused.
        kind: how it is learned from when a config declares it; None for columns that are no features.
        minimum: the smallest valid number, None for no bound: records and books are of before 1970.
        maximum: the largest.
    """

    name: str
    type: str
    required: bool = False
    kind: Kind | None = None
    minimum: float | None = None
    maximum: float | None = None


EVENTS = (
    ContractColumn("event_id", "string", required=True),
    ContractColumn("user_id", "string", required=True),
    ContractColumn("item_id", "string", required=True),
    ContractColumn("event_type", "string", required=True),
    ContractColumn("timestamp", "int64", required=True, minimum=0),
    ContractColumn("arrived_at", "int64", minimum=0),
    ContractColumn("session_id", "string"),
    ContractColumn("request_id", "string"),
    ContractColumn("position", "int64", minimum=0),
    ContractColumn("dwell_seconds", "double", minimum=0),
    ContractColumn("price", "double", minimum=0),
    ContractColumn("value", "double"),
    ContractColumn("device", "string", kind=Kind.CATEGORICAL),
    ContractColumn("location", "string", kind=Kind.CATEGORICAL),
    ContractColumn("surface", "string", kind=Kind.CATEGORICAL),
    ContractColumn("propensity", "double", minimum=0, maximum=1),
    ContractColumn("release", "string"),
    ContractColumn("arm", "string"),
)
ITEMS = (
    ContractColumn("item_id", "string", required=True),
    ContractColumn("created_at", "int64"),
    ContractColumn("available", "bool"),
    ContractColumn("available_until", "int64", minimum=0),
    ContractColumn("price", "double", kind=Kind.NUMERIC, minimum=0),
    ContractColumn("seller_id", "string", kind=Kind.CATEGORICAL),
    ContractColumn("brand", "string", kind=Kind.CATEGORICAL),
    ContractColumn("category", "string", kind=Kind.PATH),
    ContractColumn("title", "string", kind=Kind.TEXT),
)
USERS = (
    ContractColumn("user_id", "string", required=True),
    ContractColumn("created_at", "int64"),
)
TABLES: dict[str, tuple[ContractColumn, ...]] = {"events": EVENTS, "items": ITEMS, "users": USERS}
ID_COLUMN = {"events": "event_id", "items": "item_id", "users": "user_id"}


def contract(table: str) -> dict[str, ContractColumn]:
    """The contract columns of `table` ("events", "items" or "users") by name."""
    return {column.name: column for column in TABLES[table]}
