"""Rows that say in columns of 0 and 1, or in a share of what was played, what came of an item that was shown."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.guess.acts import event_types
from souk.ingest.guess.columns import Table, column_named
from souk.ingest.guess.names import INSTALLS, QUANTITIES, kind_of
from souk.ingest.profile import Column, plain
from souk.schema import EventType

FLAGS = {"0", "1", "true", "false"}
MOST = 0.5  # of the rows, that have the number of an order where they are orders
HOW = {"preorder", "preordered", "installation"}  # names of flags that say how something was bought
# Words of columns with an order of something else, or with a word that `order` is a part of.
LISTED = {"sort", "sorting", "sorted", "sortorder", "by", "display", "list", "rank", "result", "index", "position",
          "page", "border", "recorder", "reorder"}  # fmt: skip
REFUSED = {"hate", "hated", "dislike", "disliked", "downvote", "downvoted", "thumbsdown", "report", "reported"}
ASKED = ("is", "has", "was", "did")  # before an act, in names of columns of 0 and 1
# Of what was clicked, how far it got: words in flags, the likeliest first, and names of shares.
DEEPER = ("long_view", "long_play", "finished", "finish", "completed", "complete", "full_play", "full_view", "liked",
          "like")  # fmt: skip
SHARES = {"watchratio", "playratio", "watchpercent", "watchedpercent", "percentwatched", "completionrate",
          "completionratio", "completion", "playedratio", "listenedratio", "readratio", "progress"}  # fmt: skip
BARS = (1.0, 0.8, 80.0)  # of a share, from which it satisfies
TELLING = 0.02  # least share of the clicks on either side of a bar that tells them apart
ANOTHER = "ANOTHER ACT IN THE SAME ROW, a {}, of {:.1%} of the rows: to learn from it, write each as a row of its own"


def is_flag(column: Column) -> bool:
    """Whether a column has nothing but 0 and 1, or true and false."""
    return not column.nested and 0 < column.distinct <= 2 and set(pc.unique(column.texts).to_pylist()) <= FLAGS


def asked(column: Column) -> str:
    """What a flag asks: its name without `is`."""
    first, _, rest = column.snake.partition("_")
    return rest if rest and first in ASKED else column.snake


def hides(column: Column) -> EventType | None:
    """The type of a flag that says that an item is not wanted, as `is_hate`."""
    return EventType.HIDE if plain(asked(column)) in REFUSED else None


def numbers_orders(table: Table) -> bool:
    """Whether a column of events seems to be the number of an order, and not the order of a list."""
    named = (column for column in table.free if "invoice" in column.plain or "order" in column.plain)
    named = (column for column in named if column.filled >= MOST)  # the others' rows are no orders
    return any(LISTED.isdisjoint(column.snake.split("_")) for column in named)


def tells_act(table: Table, flag: Column) -> bool:
    """Whether a flag that has the name of an act is one, and does not say how what all rows buy is delivered: with its
    installation, or as a download."""
    value = column_named(table, "value")
    bought = numbers_orders(table) or (value is not None and value.plain in QUANTITIES)
    name = plain(asked(flag))
    return name not in HOW and not (bought and name in INSTALLS)


def clicked(table: Table) -> Column | None:
    """The flag that says whether what was shown was clicked."""
    flags = (column for column in table.free if is_flag(column))
    return next((column for column in flags if kind_of(asked(column)) is EventType.CLICK), None)


def note_flags(table: Table) -> None:
    """Notes the acts that stand beside the type of an event in the same row, and maps how far it got to `value`."""
    if column_named(table, "value") is None and "value" not in table.mapped:
        _map_depth(table)
    if table.has("event_type") and not is_flag(table.mapped["event_type"][0]):
        return  # each row is of one type
    for column in table.free:
        kind = kind_of(asked(column)) or hides(column)
        if kind and is_flag(column) and column.distinct == 2 and tells_act(table, column):
            share = float(pc.mean(pc.is_in(column.texts, value_set=pa.array(["1", "true"]))).as_py())
            table.counts[column.name] = ANOTHER.format(kind, share)


def _map_depth(table: Table) -> None:
    clicks = event_types(table).to_pandas() == EventType.CLICK
    flags = {asked(column): column for column in reversed(table.free) if is_flag(column)}
    deeper = [flags[word] for word in DEEPER if word in flags]
    for column in [*deeper, *(column for column in table.free if column.plain in SHARES)]:
        known = cells.parse_number(column.values)[0].to_pandas()[clicks].dropna()
        for bar in BARS if column.plain in SHARES else BARS[:1]:
            share = float((known >= bar).mean()) if len(known) else 0.0
            if TELLING <= share <= 1 - TELLING:
                table.mapped["value"] = column, f"how far it got; such as {column.examples}"
                table.notes["value"] = f"{bar:g}"
                return
