"""Which column says in its values what users did, whatever its name, and what its words say."""

from __future__ import annotations

import pyarrow.compute as pc

from souk.ingest.guess.auction_words import befalls
from souk.ingest.guess.columns import Table
from souk.ingest.guess.deeds import SPOKEN, settled
from souk.ingest.guess.fit import few_words
from souk.ingest.guess.names import NAMES, SETTINGS
from souk.ingest.guess.phrases import act_of, undoes
from souk.ingest.profile import Column, plain, snake
from souk.schema import EventType

MOST = 30  # values of a column that is the type
OTHERS = {name for target, names in NAMES.items() if target != "event_type" for name in names}
# The last word of a column with where something was done, or from where a user came.
WHERE = {"page", "screen", "surface", "placement", "source", "referrer", "referer", "tab", "section", "widget",
         "module", "area", "seite", "bereich", "quelle", *SETTINGS}  # fmt: skip
# What an act is named for, and a place of a shop: of these alone nobody knows which of both they are.
PLACES = {"cart", "basket", "warenkorb", "checkout", "wishlist", "favorites", "favourites", "detail", "order", "orders",
          "booking", "review", "reviews", "bookmarks", "likes", "merkzettel", "panier", "carrito", "carrello",
          "carrinho", "watchlist", "bestellung"}  # fmt: skip
NUMBERS = {"id", "no", "nr", "ref", "code", "number", "key", "sku", "uuid", "uri"}  # in a name of ids


def act_in(table: Table, text: str) -> EventType | None:
    """The act that a value says, of whatever the ids of the items are named for, in either file: `offering_view` beside
    offering_id."""
    if (known := act_of(text)) or "item_id" not in table.mapped:
        return known
    names = (table.mapped["item_id"][0].snake, table.listed_as)
    things = {word for name in names for word in name.split("_") if word} - NUMBERS
    words = snake(text).split("_")
    rest = [word for word in words if word not in things | {f"{thing}s" for thing in things}]
    return act_of("_".join(rest)) if rest and rest != words else None


def spoken(table: Table) -> Column | None:
    """The column most of whose values are words for event types, for at least two of them; else that of whose rows
    most have such words."""
    for column in table.free:
        if few_words(column):
            texts = pc.unique(column.texts).to_pylist()
            known = [kind for text in texts if (kind := act_in(table, text))]
            back = sum(undoes(text) for text in texts)
            if len(set(known)) > 1 and len(known) + back > SPOKEN * len(texts):
                return column
    found = {column.name: (_share(table, column), column) for column in table.free if few_words(column, MOST)}
    best = max(found.values(), key=lambda each: each[0], default=None)
    return best[1] if best and best[0] > SPOKEN else None


def _share(table: Table, column: Column) -> float:
    """The share of all rows that have a word for an act; 0 for a column of one act, of where it was done, and of what
    each item or user has one value of."""
    if column.plain in OTHERS or column.snake.split("_")[-1] in WHERE:
        return 0.0
    rows = {row["values"]: row["counts"] for row in pc.value_counts(column.texts).to_pylist()}
    acts = {text: kind for text in rows if (kind := act_in(table, text))}
    sure = sum(rows[text] for text in acts if plain(text) not in PLACES)
    told = sum(rows[text] for text in rows if text in acts or undoes(text) or befalls(text))
    if len({*acts.values()}) < 2 or sure <= SPOKEN * sum(rows[text] for text in acts) or settled(table, column):
        return 0.0
    return told / max(1, len(column.values))
