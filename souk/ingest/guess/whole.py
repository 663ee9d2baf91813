"""What all rows of a file are where no column says it: what its name or that of its times tells."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from souk.ingest.guess.columns import Table
from souk.ingest.guess.names import NAMES
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import snake
from souk.readers import HERE, find_files
from souk.schema import EventType

SEVERAL = 2  # files
TIME_WORDS = {"time", "timestamp", "ts", "at", "on", "date", "datetime", "ms", "utc", "zeit", "datum"}
PARTS = {"train", "training", "valid", "validation", "test", "sample", "full", "raw", "data"}  # of a data set
NOT_ALONE = (EventType.IMPRESSION, EventType.RETURN, EventType.HIDE)  # nobody engages by these
NO_ACTS = {
    "show",
    "note",
    "order",
    "download",
    "print",
    "share",
    "cuisine",
}  # what may be of another kind: an order of rows, notes, any download, a kitchen


def act_of_all(table: Table) -> tuple[EventType, str] | None:
    """The event type of all rows, and what tells it; None where nothing does.

    Args:
        table: of events, with its time.
    """
    time = table.mapped["timestamp"][0].name if "timestamp" in table.mapped else ""
    file = PurePosixPath(table.source.path).name
    for text, words in ((time, _words(time) - TIME_WORDS), (file, _words(_stem(file)) - PARTS)):
        items = {*words, *(word.removesuffix("s") for word in words)} & {*NAMES["item_id"]}  # of books none is booked
        kind = act_of("_".join(sorted(words))) if words and not items else None
        if kind and kind is not EventType.RATING and not words <= NO_ACTS:
            return kind, f"by the name of {text}"
    return None


def of_another_act(table: Table, kind: EventType) -> str:
    """What to do where the name of one of several files tells another act than all rows are taken for, as that of
    purchases beside that of views; "" where none does."""
    files = [file.name for file in find_files(table.source.path, HERE)]
    acts = {name: act_of("_".join(sorted(_words(_stem(name)) - PARTS - {*NAMES["item_id"]}))) for name in files}
    others = [name for name, act in acts.items() if act not in (None, kind, EventType.RATING)]
    if len(files) < SEVERAL or not others:
        return ""
    remedy = "write what each is into a column of its own (docs/data.md, Files of several acts)"
    return f"{kind.upper()}, AND {others[0]} IS CALLED FOR {acts[others[0]]}s: {remedy}"


def told_alone(kind: EventType, why: str) -> str:
    """What to do about a file of events by which nobody engages; "" where users do."""
    if kind not in NOT_ALONE:
        return ""
    remedy = "write what users take into the same file, or into another of one folder"
    return f"{kind.upper()}, {why}, AND NOBODY ENGAGES BY ONE: {remedy}"


def _stem(file: str) -> str:
    return PurePosixPath(file).name.partition(".")[0]


def _words(text: str) -> set[str]:
    """The words of a name, without its numbers and wild cards."""
    return {*re.sub(r"[\d*?]+", "_", snake(text)).split("_")} - {""}
