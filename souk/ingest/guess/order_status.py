"""A column that says how orders ended: one order is one event, whatever became of it."""

from __future__ import annotations

import pyarrow.compute as pc

from souk.ingest.guess.config_words import skipping
from souk.ingest.guess.deeds import SPOKEN
from souk.ingest.guess.fit import few_words
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import Column, plain
from souk.schema import EventType

BOUGHT = (EventType.PURCHASE, EventType.RETURN)
# What a status says of an order beside words for purchases and returns, and what of anything; no case, no punctuation.
ORDERED = {"packed", "shipped", "sent", "delivered", "fulfilled", "unpaid", "bezahlt", "versandt", "geliefert"}
STATES = {"open", "new", "pending", "processing", "confirmed", "accepted", "complete", "completed", "closed", "offen"}
STATUS = ("status", "state", "estado", "stato")
FAILED = {"unpaid", "failed", "declined", "rejected", "expired"}
SHOWN = 4  # values in a `skip`


def tells_orders(column: Column) -> bool:
    """Whether a column says how orders ended, and of no other act."""
    if not column.plain.endswith(STATUS) or not few_words(column):
        return False
    values = pc.unique(column.texts).to_pylist()
    orders = [text for text in values if plain(text) in ORDERED or act_of(text) in BOUGHT]
    states = [text for text in values if text in orders or plain(text) in STATES | FAILED]
    acts = [text for text in values if text not in states and act_of(text)]
    return bool(orders) and len(states) > SPOKEN * len(values) and not acts


def without_lost(status: Column) -> str:
    """How the orders that came to nothing are left out; "" where there are none."""
    values = sorted(pc.unique(status.texts).to_pylist())
    lost = [text for text in values if plain(text) in FAILED or act_of(text) is EventType.RETURN]
    return f"{skipping(status.name, lost[:SHOWN])} leaves out those that came to nothing" if lost else ""
