"""Event types that are of what users have: downloads of what they bought, and, where much of it they had before the
log begins, sessions of an app."""

from __future__ import annotations

import pandas as pd

from souk.ingest import cells
from souk.ingest.guess.acts import acts
from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table
from souk.ingest.guess.names import INSTALLS
from souk.ingest.profile import MANY, snake
from souk.schema import EventType

FEWEST = 30  # events with an item that the same user bought
OF_BEFORE = 0.2  # share of the events of a type whose item the user did not buy, from which these are asked for
EARLY = 0.6  # share of such pairs of a user and an item that first come in the first half of the log, as what is had


def map_uses(events: Table) -> None:
    """Takes downloads and installs for looks where nearly all of them are of what the same user had bought by another
    word, as of books and courses: as purchases each of them would be bought again."""
    words = [text for text, (kind, _) in events.types.items() if kind is EventType.PURCHASE]
    taken = [text for text in words if not INSTALLS.isdisjoint(snake(text).split("_"))]
    if not taken or len(taken) == len(words) or not events.has("event_type"):
        return
    rows = _worded(events)
    first = rows[rows["word"].isin({*words} - {*taken})].groupby(["user_id", "item_id"])["time"].min().rename("bought")
    rows = rows.join(first, on=["user_id", "item_id"])
    for word in taken:
        own = rows[rows["word"] == word]
        if len(own) >= FEWEST and (share := (own["bought"] <= own["time"]).mean()) >= MANY:
            events.types[word] = EventType.CLICK, f"of what the user had bought, {share:.0%} of them: no purchases"


def skip_uses(events: Table) -> None:
    """Leaves out, by `skip`, what comes after a purchase where there is one, and often has none, for what users had
    before: all of it would be a choice of theirs, and their own things what slates are asked for.

    What is used without a purchase all along, as what a subscription has, is chosen by its use.
    """
    if not events.has("event_type") or "*" in events.types:
        return
    rows = _worded(events)
    first = rows[rows["kind"] == "purchase"].groupby(["user_id", "item_id"])["time"].min().rename("bought")
    rows = rows.join(first, on=["user_id", "item_id"])
    clicks = [text for text, (kind, _) in events.types.items() if kind is EventType.CLICK]
    middle = (rows["time"].min() + rows["time"].max()) / 2
    told = {word: _of_before(rows[rows["word"] == word], middle) for word in clicks}
    uses = {word: why for word, why in told.items() if why}
    if uses and skip_rows(events, events.mapped["event_type"][0], [*uses]):
        why = "; ".join(f"{word} ({shares})" for word, shares in uses.items())
        remedy = "a row of a purchase for each, at the beginning, keeps what they had out of slates"
        events.notes["uses"] = f"what users do with what they have: {why}: {remedy}"


def _worded(events: Table) -> pd.DataFrame:
    """What users do, with the `word` that each row has for it."""
    rows = acts(events)
    said = cells.parse_text(events.mapped["event_type"][0].values)[0].to_pandas()
    return rows.assign(word=said[rows.index])


def _of_before(rows: pd.DataFrame, middle: float) -> str:
    """What says that events of one type are of what users have, and often had before the log; "" where nothing does.

    Args:
        rows: of the type, with when the user `bought` the item, NaN where that is not known.
        middle: of the log, UTC epoch milliseconds.
    """
    bought = rows[rows["bought"].notna()]
    had = rows[~(rows["bought"] <= rows["time"])]
    after = (bought["bought"] <= bought["time"]).mean()
    if len(bought) < FEWEST or after < MANY or len(had) < OF_BEFORE * len(rows):
        return ""
    firsts = had.groupby(["user_id", "item_id"])["time"].min()
    if (firsts < middle).mean() < EARLY:
        return ""
    return f"{after:.0%} of it after the purchase where there is one, {len(had) / len(rows):.0%} without one"
