"""Which rows of the log of items a release still needs: those that its own items table cannot have known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from souk.serving.items.lines import Logged

UNTIL = "available_until"
OUT = {"available", UNTIL}  # the columns that take an item out


@dataclass(frozen=True)
class Replay:
    """What is to be done with a log.

    Args:
        rows: to be taken, oldest first; of some a part.
        times: when each was taken first, UTC epoch milliseconds.
        created: whether each may make its item.
        older: how many rows the release's items table has superseded.
        unknown: how many rows speak of an item that is not there, and do not make it.
        waiting: those of them that are ends by purchases: who makes the item later need not know of its sale.
        settled: items that the release has, of those that rows of the log made before its table.
    """

    rows: list[dict[str, Any]]
    times: list[int]
    created: list[bool]
    older: int
    unknown: int
    waiting: list[dict[str, Any]]
    settled: set[str]


def replay(
    logged: Logged,
    known: Collection[str],
    files: tuple[int, int],
    ends: Callable[[dict[str, Any]], bool] = lambda row: False,
    sold_once: bool = False,
) -> Replay:
    """Holds the rows of a log against a release.

    A row that is newer than the release's items files counts whatever the release holds. An older one is superseded
    by the table: by what it says of the item, or by leaving the item out where a release had it since the row. Only
    an item that no release had yet comes from older rows, since the table may not have got it yet; and the table need
    not know that an item was sold, where nobody said anything of its end after that: the end in a row that makes an
    item is that of the offer.

    Of a row that some of the files are older than, and others younger, nobody knows whether the one with its item
    knows it. What it says that takes the item out counts, and no more: an item that is there again can be sent again.

    Args:
        logged: the log.
        known: the ids of the release's items.
        files: the times of the oldest and the newest items file, UTC epoch milliseconds; 0 where it has none, and every
            row counts.
        ends: whether a row ends a known item before the table does.
        sold_once: whether an end by a purchase counts whatever the table says.
    """
    taken: list[tuple[dict[str, Any], int, bool]] = []
    older = unknown = 0
    made, settled, ended, waiting = set[str](), set[str](), set[str](), list[dict[str, Any]]()
    oldest, as_of = files
    last = {
        row["item_id"]: number
        for number, row in enumerate(logged.rows)
        if UNTIL in row and not (logged.created[number] and row[UNTIL] is not None)
    }
    said = {(row["item_id"], name): number for number, row in enumerate(logged.rows) for name in OUT & row.keys()}
    lines = zip(logged.rows, logged.times, logged.created, strict=True)
    for number, (row, at, created) in enumerate(lines):
        item, gone = row["item_id"], number < logged.settled.get(row["item_id"], 0)
        sold = sold_once and logged.sold[number] and item in known and last.get(item) == number and ends(row)
        if at < as_of and (item in known or gone) and not sold:
            if created and not gone:
                settled.add(item)
            own = OUT if at >= oldest and item in known and not created and not logged.sold[number] else ()
            out = _out({name: row[name] for name in own if said.get((item, name)) == number}, item, ends)
            older += not out
            taken += [({"item_id": item, **out}, at, False)] if out else []
        elif created or item in known or item in made:
            made.add(item)
            if logged.sold[number]:
                ended.add(item)
            if created and item in ended and row.get(UNTIL) is not None:
                row = {name: value for name, value in row.items() if name != UNTIL}
            taken.append((row, at, created))
        else:
            unknown += 1
            waiting += [row] * logged.sold[number]
    rows, times, new = [row for row, _, _ in taken], [at for _, at, _ in taken], [created for _, _, created in taken]
    return Replay(rows, times, new, older, unknown, waiting, settled)


def plain(
    logged: Logged,
    files: tuple[int, int],
    typed: Callable[[Sequence[dict[str, Any]]], Sequence[Mapping[str, Any]]],
) -> Logged:
    """A log whose rows between the times of the oldest and the newest items file say in the types of the items table
    what takes items out: rows are in the log as they were sent, and who sends a CSV sends "false" and "1764538000000".

    Args:
        logged: the log.
        files: as `replay` takes them.
        typed: of rows as they were sent what the items table has of each; nothing where it cannot be read.
    """
    oldest, as_of = files
    rows = list(logged.rows)
    said = [n for n, row in enumerate(rows) if oldest <= logged.times[n] < as_of and not OUT.isdisjoint(row)]
    asked = [{name: rows[n][name] for name in ("item_id", *OUT) if name in rows[n]} for n in said]
    for number, own, read in zip(said, asked, typed(asked) if asked else (), strict=True):
        rows[number] = {**rows[number], **{name: read[name] for name in OUT & own.keys()}}
    return replace(logged, rows=tuple(rows))


def _out(said: Mapping[str, Any], item: str, ends: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Of what was said of an item last that which takes it out."""
    out = {name: value for name, value in said.items() if name == "available" and value is False}
    if said.get(UNTIL) is not None and ends({"item_id": item, UNTIL: said[UNTIL]}):
        out[UNTIL] = said[UNTIL]
    return out
