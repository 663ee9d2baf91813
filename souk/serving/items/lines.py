"""The lines of the log of items: a checksum and a JSON object each, and what they say together."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LINE = b'"line":'
HOUR_MS = 3_600_000
TOLD = "an end that somebody told"  # among the names of columns, as "sold" with the hour is for one by a purchase


@dataclass(frozen=True)
class Logged:
    """What a log holds.

    Args:
        rows: as they were given, oldest first.
        times: when each was taken, UTC epoch milliseconds.
        created: whether each made its item: it was not known before.
        sold: whether each is the end of its item by a purchase, and nobody's word about it.
        settled: of items that a release had after they were made: how many of `rows` are older than the note of it.
        torn: 1 where the last line is not whole (a write that was cut off, and never answered), else 0.
        damaged: whole lines that do not fit their checksums; they are passed over.
    """

    rows: tuple[dict[str, Any], ...]
    times: tuple[int, ...]
    created: tuple[bool, ...]
    sold: tuple[bool, ...]
    settled: Mapping[str, int]
    torn: int
    damaged: int


def line(record: dict[str, Any]) -> bytes:
    """A record with its checksum."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def parsed(content: bytes) -> Logged:
    """What lines hold; the last one is torn if it does not end."""
    *lines, rest = content.split(b"\n")
    records = [_record(each) for each in lines]
    good = [record for record in records if record is not None]
    rows: list[dict[str, Any]] = []
    settled: dict[str, int] = {}
    for record in good:
        if "settled" in record:
            settled.update(dict.fromkeys(record["settled"], len(rows)))
        else:
            rows.append(record)
    return Logged(
        tuple(record["item"] for record in rows),
        tuple(record["at"] for record in rows),
        tuple(record.get("created", False) for record in rows),
        tuple(record.get("sold", False) for record in rows),
        settled,
        int(bool(rest)),
        len(records) - len(good),
    )


def overtaken(logged: Logged) -> set[int]:
    """The numbers of the rows that change nothing any more: a later one of the item says all that they say.

    A row that made its item stays: a release that never had the item has it from there. So does the end by a purchase
    before it. Of ends by purchases one counts in the place of another of the same hour alone: an item that comes later
    may be a listing of after the other (souk.serving.items.ends).
    """
    later: dict[str, list[tuple[set[str], int]]] = {}
    gone = set()
    for number in reversed(range(len(logged.rows))):
        row, at, names = logged.rows[number], logged.times[number], set(logged.rows[number])
        said = later.setdefault(row["item_id"], [])
        asked = [names]
        if logged.sold[number]:
            sale = f"sold {row['available_until'] // HOUR_MS}"
            asked, names = [{"item_id", sale}, {"item_id", TOLD}], names | {sale}
        elif "available_until" in names:
            names = names - {"available_until"} if logged.created[number] else names | {TOLD}
        if not logged.created[number] and any(each <= known and at <= time for known, time in said for each in asked):
            gone.add(number)
        else:
            said.append((names, at))
    return gone


def without(content: bytes, gone: Collection[int]) -> bytes:
    """The lines but those of the rows of these numbers; damaged ones stay, to be counted. Where lines before it are
    left out, one says which it was (`line_numbers`)."""
    kept, row, number = list[bytes](), 0, 0
    for each, was in zip(content.split(b"\n")[:-1], line_numbers(content), strict=True):
        record = _record(each)
        if record is None:
            kept.append(each + b"\n")
            number += 1
        elif "settled" in record or row not in gone:
            kept.append(each + b"\n" if was == number + 1 or "line" in record else line({**record, "line": was}))
            number = was
        row += record is not None and "settled" not in record
    return b"".join(kept)


def line_numbers(content: bytes, before: int = 0) -> list[int]:
    """Which line of its log each whole line is, from 1 on, those that were left out counted: one more than the line
    before it, unless it says `line`.

    Args:
        content: of a log.
        before: the number of the line before it.
    """
    if LINE not in content:
        return list(range(before + 1, before + 1 + content.count(b"\n")))
    numbers = list[int]()
    for each in content.split(b"\n")[:-1]:
        record = _record(each) if LINE in each else None
        before = (record or {}).get("line", before + 1)
        numbers.append(before)
    return numbers


def behind(content: bytes, numbers: Sequence[int], number: int) -> bytes:
    """The lines with greater numbers than this, and what is behind the last whole one."""
    return b"\n".join(content.split(b"\n")[bisect_right(numbers, number) :])


def _record(line: bytes) -> dict[str, Any] | None:
    digits, _, text = line.partition(b" ")
    if digits != b"%08x" % zlib.crc32(text):
        return None
    record: dict[str, Any] = json.loads(text)
    return record
