"""What becomes of rows of items."""

from __future__ import annotations

from dataclasses import dataclass


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
        refused: the others, by row.
    """

    accepted: int
    created: int
    refused: tuple[Refused, ...]


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


class Retired(Exception):
    """Rows came for a release that answers no more."""
