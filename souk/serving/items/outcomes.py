"""What becomes of rows of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Refused:
    """A row that was not taken. `row` counts from 0."""

    row: int
    item_id: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of the rows of one call.

    Args:
        accepted: rows that are on the disk and in every answer from now on.
        created: how many of their items were not known before.
        ended: how many of their items the rows give an `available_until` that has passed: they are in no slate.
        refused: the others, by row.
    """

    accepted: int
    created: int
    ended: int
    refused: tuple[Refused, ...]


@dataclass
class Batch:
    """Rows on their way.

    Args:
        taken: rows of the item table by item.
        accepted: the number, the item of each row behind them, and whether it makes its item.
        reasons: why others are refused, by number of row.
    """

    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    accepted: list[tuple[int, str, bool]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    def drop(self, item: str, why: str) -> None:
        """Refuses the rows of an item after all."""
        self.reasons |= {at: why for at, of, _ in self.accepted if of == item}
        self.accepted = [each for each in self.accepted if each[1] != item]
        del self.taken[item]

    def outcome(self, rows: Sequence[Any], now: int) -> Outcome:
        """What became of all `rows`, at `now`, UTC epoch milliseconds."""
        refused = [Refused(at, str(id_of(rows[at])), why) for at, why in sorted(self.reasons.items())]
        created = sum(new for _, _, new in self.accepted)
        return Outcome(len(self.accepted), created, self.ended(rows, now), tuple(refused))

    def ended(self, rows: Sequence[Mapping[str, Any]], now: int) -> int:
        """How many items are not to be had any more at `now`, UTC epoch milliseconds, by what `rows` say of them."""
        told = {item for at, item, _ in self.accepted if rows[at].get("available_until") is not None}
        ends = (self.taken[item]["available_until"] for item in told)
        return sum(end is not None and end < now for end in ends)


@dataclass(frozen=True)
class Replayed:
    """What the log gave at the start.

    Args:
        taken: rows that are in the answers now.
        older: rows from before the release's items table, which has superseded them.
        unknown: rows of items that are gone: they change an item, and do not make one.
        refused: rows that do not fit this release's columns and schema.
        torn: 1 where the last line is not whole.
        damaged: lines that do not fit their checksums.
    """

    taken: int = 0
    older: int = 0
    unknown: int = 0
    refused: int = 0
    torn: int = 0
    damaged: int = 0


@dataclass(frozen=True)
class Followed:
    """What other servers of the workspace wrote into the log.

    Args:
        taken: when each row was taken there that is in the answers now, UTC epoch milliseconds.
        at: when it was here.
        older, unknown, refused: as `Replayed` has them.
    """

    taken: tuple[int, ...]
    at: int
    older: int
    unknown: int
    refused: int


def id_of(row: Any) -> Any:
    """What a row says is its item; "" where it says nothing."""
    item = row.get("item_id") if isinstance(row, dict) else None
    return "" if item is None else item


class Retired(Exception):
    """Rows came for a release that answers no more."""
