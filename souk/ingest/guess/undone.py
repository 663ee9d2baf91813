"""Rows of events that take an act back, as `unfavourite`, of mails that a program sent, and of what befell a user."""

from __future__ import annotations

from collections.abc import Callable, Collection

from souk.ingest.guess.acts import acts
from souk.ingest.guess.auction_words import befalls
from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table
from souk.ingest.guess.contract_words import decides
from souk.ingest.guess.flags import is_flag
from souk.ingest.guess.phrases import act_of, refuses, undoes
from souk.ingest.profile import snake
from souk.schema import EventType

MAILS = {"alert", "newsletter", "push", "notification", "digest", "campaign", "mailing", "benachrichtigung",
         "suchauftrag", "reminder", "erinnerung", "rappel", "recordatorio", "promemoria", "lembrete",
         "suchagent", "alerta", "alerte", "boletin", "avviso"}  # fmt: skip
LETTERS = {"email", "mail", "sms", "message"}  # which users write, too
REMINDERS = {"soon", "ending", "expiring", "due"}
GIVEN = (EventType.IMPRESSION, EventType.CLICK, EventType.CART)  # what others do to who is looked for, too
TOGGLED = (EventType.IMPRESSION, EventType.CART)
FEWEST, MOSTLY = 30, 0.5  # zeros of a flag, and the share of them that come right after a 1, which they take back
SENT = {"sent", "send", "delivered", "queued", "dispatched", "gesendet", "versendet", "verschickt", "zugestellt",
        "enviada", "enviado", "envoi", "envoye", "inviata", "inviato"}  # fmt: skip


def skip_undone(events: Table) -> None:
    """Leaves out, by `skip`, the event types that no act of the contract is, and that are no choice of an item: what
    takes an act back, or refuses, which taken for a click would be a wish for what is not wanted, what was only sent,
    which nobody may have seen, and what others did to the user, as who bids more."""
    _skip_toggled(events)
    firsts = {snake(text).split("_")[0] for text in events.types}
    _skip(events, "undone", "an earlier act is taken back by", lambda text: undoes(text) or _undoes(text, firsts))
    _skip(events, "refused", "it says that something is not wanted,", lambda text: refuses(text) and not decides(text))
    _skip(events, "sent", "nobody chose", _sent)
    _skip(events, "befell", "others did, and not the user,", lambda text: befalls(text) or _received(text))


def _skip_toggled(events: Table) -> None:
    """Leaves out, by `skip`, the 0 of a flag, as `favorite`, where it takes back the 1 before it of the same user and
    item: it was not what was only shown. A click is never taken back."""
    of = {kind: [text for text, (own, _) in events.types.items() if own is kind] for kind in TOGGLED}
    if not all(of.values()) or not events.has("event_type") or not is_flag(events.mapped["event_type"][0]):
        return
    rows = acts(events).sort_values("time", kind="stable")
    before = rows.groupby(["user_id", "item_id"])["kind"].shift()
    back = before[rows["kind"] == "impression"] == "cart"
    if len(back) >= FEWEST and back.mean() >= MOSTLY:
        column, words = events.mapped["event_type"][0], of[EventType.IMPRESSION]
        if count := skip_rows(events, column, words):
            events.notes["undone"] = f"an earlier act is taken back by {', '.join(words)} of {column.name} ({count})"


def _skip(events: Table, key: str, told: str, tells: Callable[[str], bool]) -> None:
    words = [text for text in events.unknown if tells(text)]
    if words:
        column = events.mapped["event_type"][0]
        if count := skip_rows(events, column, words):
            events.notes[key] = f"{told} {', '.join(words)} of {column.name} ({count})"


def _undoes(text: str, firsts: Collection[str]) -> bool:
    """Whether a value is another one's first word with `un` before it, as `unclap` beside `clap`."""
    word = snake(text).split("_")[0]
    return word[:2] == "un" and word[2:] in firsts


def _received(text: str) -> bool:
    """Whether a value says that an act of another reached the user, as `message_received` and `profile_view_received`;
    an order that was received is one of the user."""
    *words, last = snake(text).split("_")
    return last == "received" and any(act_of(word) in GIVEN for word in words)


def _sent(text: str) -> bool:
    """Whether a value says that a program sent a mail or the like, and not that it was opened."""
    words = {*snake(text).split("_")}
    reminds = words & REMINDERS and words & {*MAILS, *LETTERS}
    return bool(words & MAILS and words & SENT) or bool(reminds and act_of(text) is None)
