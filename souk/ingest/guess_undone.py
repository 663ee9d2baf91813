"""Rows of events that take an act back, as `unfavourite`, and those of mails that a program sent."""

from __future__ import annotations

from collections.abc import Callable

from souk.ingest.guess_chosen import skip_rows
from souk.ingest.guess_columns import Table
from souk.ingest.guess_phrases import undoes
from souk.ingest.profile import snake

MAILS = {"alert", "newsletter", "push", "notification", "digest", "campaign", "mailing", "benachrichtigung"}
SENT = {"sent", "send", "delivered", "queued", "dispatched", "gesendet", "versendet", "verschickt", "zugestellt"}


def skip_undone(events: Table) -> None:
    """Leaves out, by `skip`, the event types that no act of the contract is, and that are no choice of an item: what
    takes an act back, which taken for a click would be a wish for what is not wanted any more, and what was only sent,
    which nobody may have seen."""
    for key, told, tells in (("undone", "an earlier act is taken back by", undoes), ("sent", "nobody chose", _sent)):
        _skip(events, key, told, tells)


def _skip(events: Table, key: str, told: str, tells: Callable[[str], bool]) -> None:
    words = [text for text in events.unknown if tells(text)]
    if words:
        column = events.mapped["event_type"][0]
        if count := skip_rows(events, column, words):
            events.notes[key] = f"{told} {', '.join(words)} of {column.name} ({count})"


def _sent(text: str) -> bool:
    """Whether a value says that a program sent a mail or the like, and not that it was opened."""
    words = {*snake(text).split("_")}
    return bool(words & MAILS) and bool(words & SENT)
