"""What banks, insurers and others who sell contracts call what is done with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table
from souk.ingest.guess.contract_words import (
    CONTRACT_FILES,
    CONTRACT_NOUNS,
    CONTRACT_PARTS,
    GERMAN,
    approves,
    decides,
)
from souk.ingest.guess.names import NAMES
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import snake
from souk.schema import EventType

TIMES = {"at", "on", "date", "time", "datum", "am"}


def skip_decided(events: Table) -> None:
    """Leaves out, by `skip`, what the shop decides of what a user asked for, as `application_rejected`: taken for
    clicks, the user would want the item once more. Where no other word tells a purchase, what was approved is one."""
    words = [text for text in events.unknown if decides(text)]
    if not words:
        return
    if EventType.PURCHASE not in {kind for kind, _ in events.types.values()}:
        for text in [text for text in words if approves(text)]:
            events.types[text] = EventType.PURCHASE, "approved, and no other word tells a purchase"
            events.unknown.remove(text)
            words.remove(text)
    column = events.mapped["event_type"][0]
    if words and (count := skip_rows(events, column, words)):
        events.notes["decided"] = f"the shop decided, and not the user, {', '.join(words)} of {column.name} ({count})"


def tells_contracts(table: Table) -> str:
    """What tells that each row is a contract: the number of one, the time at which it begins, or the name of the file;
    "" where nothing does."""
    for column in table.columns:
        if GERMAN.fullmatch(column.plain) or _numbers_contracts(column.snake.split("_")):
            return f"contracts, by {column.name}"
    file = PurePosixPath(table.source.path).name
    named = CONTRACT_FILES & {*re.sub(r"[\d*?]+", "_", snake(file.partition(".")[0])).split("_")}
    return f"contracts, by the name of {file}" if named else ""


def _numbers_contracts(words: Sequence[str]) -> bool:
    return bool(CONTRACT_NOUNS & {*words}) and bool(CONTRACT_PARTS & {*words})


def note_ended(events: Table) -> None:
    """Notes which column says when what was bought ended: the row holds two events, and Souk reads one."""
    if events.constants.get("event_type", ("",))[0] != EventType.PURCHASE:
        return
    for column in events.free:
        act = act_of("_".join(word for word in column.snake.split("_") if word not in TIMES))
        if column.time_unit and (column.plain in NAMES["available_until"] or act is EventType.RETURN):
            told = "WHEN WHAT WAS BOUGHT ENDED, which is an event of its own: write a row of each with this time and"
            where = "docs/data.md, Contracts that end"
            events.counts[column.name] = f"{told} a type of its own, to map to return ({where}); {column.examples}"
