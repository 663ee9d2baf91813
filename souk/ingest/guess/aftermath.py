"""Event types that only come of what a user did before, as that it was shipped, and that are no act of the user."""

from __future__ import annotations

import pandas as pd
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.acts import acts
from souk.ingest.guess.chosen import skip_rows
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.names import QUANTITIES
from souk.ingest.guess.phrases import act_of
from souk.ingest.profile import MANY, snake
from souk.schema import MINUTE_MS, EventType

FULFILLED = {"shipped", "dispatched", "delivered", "packed", "picked", "fulfilled", "versandt", "versendet",
             "geliefert",
             "zugestellt", "expedie", "livre", "enviado", "entregado", "spedito", "consegnato", "entregue"}  # fmt: skip
OF_WHAT = {"order", "item", "product", "package", "parcel", "bestellung", "artikel", "paket", "commande", "colis",
           "pedido", "paquete", "ordine", "pacco", "encomenda", "out", "for", "delivery", "partially"}  # fmt: skip
VISIT_MS = 30 * MINUTE_MS
FEWEST = 30  # rows of a type
TAKEN = (EventType.PURCHASE, EventType.RETURN)
ALONE, OFTENER = 0.6, 1.5  # share of the rows that nothing else of the user is near, and how many times that of acts


def skip_aftermath(events: Table) -> None:
    """Leaves out, by `skip`, the unknown types that come to a user and not from one: what becomes of an order, and what
    nearly always follows an earlier act with the same item while the user does nothing else. Taken for clicks they
    would be wishes for what the user has. Where no other word tells a purchase, an order that was shipped is one."""
    if not events.unknown or not events.has("event_type"):
        return
    _map_negative(events)
    fulfilled = [text for text in events.unknown if _fulfilled(text)]
    if fulfilled and EventType.PURCHASE not in {kind for kind, _ in events.types.values()}:
        own = cells.parse_text(events.mapped["event_type"][0].values)[0]
        most = max(fulfilled, key=lambda text: pc.sum(pc.equal(own, text)).as_py() or 0)
        events.types[most] = EventType.PURCHASE, "of an order, and no other word tells a purchase"
        events.unknown.remove(most)
        fulfilled.remove(most)
    words = [*fulfilled, *(text for text in _following(events) if text not in fulfilled)]
    column = events.mapped["event_type"][0]
    if words and (count := skip_rows(events, column, words)):
        why = f"it comes of an earlier act, and not from the user, {', '.join(words)} of {column.name}"
        events.notes["aftermath"] = f"{why} ({count})"


def _map_negative(events: Table) -> None:
    """Takes for returns the unknown types whose quantities are negative, where those of purchases are not."""
    value = column_named(events, "value") or events.mapped.get("value", (None, ""))[0]
    if value is None or value.plain not in QUANTITIES or not value.numeric:
        return
    own = cells.parse_text(events.mapped["event_type"][0].values)[0].to_pandas()
    below = (cells.parse_number(value.values)[0].to_pandas().dropna() < 0).groupby(own)
    counts, shares = below.size(), below.mean()
    bought = [text for text, (kind, _) in events.types.items() if kind is EventType.PURCHASE and text in shares.index]
    if not bought or shares[bought].max() > 1 - MANY:
        return
    for text in [text for text in events.unknown if counts.get(text, 0) >= FEWEST and shares[text] >= MANY]:
        events.types[text] = EventType.RETURN, f"{shares[text]:.0%} of its quantities are negative: returns"
        events.unknown.remove(text)


def _fulfilled(text: str) -> bool:
    words = {*snake(text).split("_")}
    return bool(words & FULFILLED) and words <= FULFILLED | OF_WHAT


def _following(events: Table) -> list[str]:
    """The unknown types of which nearly all rows follow another act with their item, and most stand alone."""
    rows = acts(events)
    said = cells.parse_text(events.mapped["event_type"][0].values)[0].to_pandas()
    rows = rows.assign(word=said[rows.index]).sort_values(["user_id", "time"], kind="stable")
    known = ~rows["word"].isin(events.unknown)
    if not known.any():
        return []
    first = rows[known].groupby(["user_id", "item_id"])["time"].min().rename("first")
    rows = rows.join(first, on=["user_id", "item_id"]).assign(known=known, alone=_alone(rows))
    usual = rows.loc[rows["known"], "alone"].mean()
    found = []
    for word, own in rows[~rows["known"]].groupby("word"):
        if any(act_of(part) in TAKEN for part in snake(str(word)).split("_")):
            continue  # `order_line_repeated` may be one, in a word that nobody knows
        follows = (own["first"] < own["time"]).mean() >= MANY
        if len(own) >= FEWEST and follows and own["alone"].mean() >= max(ALONE, OFTENER * usual):
            found.append(str(word))
    return found


def _alone(rows: pd.DataFrame) -> pd.Series:
    """Whether the user did nothing else within half an hour: rows of one word at one time are as one.

    Args:
        rows: in the order of users and times.
    """
    each = rows[["user_id", "time", "word"]].drop_duplicates()
    whose = each.groupby("user_id")["time"]
    gaps = pd.concat([each["time"] - whose.shift(), whose.shift(-1) - each["time"]], axis=1).min(axis=1)
    alone = each.assign(alone=~(gaps <= VISIT_MS))
    return (
        rows.reset_index().merge(alone, on=["user_id", "time", "word"]).set_index("index")["alone"].reindex(rows.index)
    )
