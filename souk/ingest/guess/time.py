"""Which column of unknown events is their time."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.day_orders import WRITTEN
from souk.ingest.guess.columns import Table, columns_named
from souk.ingest.guess.fit import one_each
from souk.ingest.guess.no_time import no_time, of_our_time
from souk.ingest.profile import MANY, UNITS, Column
from souk.schema import DAY_MS

DAYS = rf"^(\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{4}}|{cells.DAY})$"

SCARCE = 0.5  # of the rows that have another time, from which a column is that of all
# Words of a time at which something is to be done: a meal is planned today for Sunday.
PLANNED = {"plan", "planned", "scheduled", "due", "expected", "geplant", "prevu", "prevue", "previsto", "prevista",
           "planificado", "planificada"}  # fmt: skip


def map_time(table: Table) -> None:
    named = [*columns_named(table, "timestamp")]
    found = _likeliest(table, named)
    if found is None:
        raise no_time(table.source.path, table.free, named[0] if named else None)
    unit = found.time_unit
    evidence = "dates already" if unit == "native" else f"{unit}: {found.examples}"
    if _planned(found):
        evidence = f"A TIME OF LATER THAN WHAT WAS DONE, BY ITS NAME? Map when it was done; {evidence}"
    table.mapped["timestamp"] = found, evidence
    if unit != "native":
        table.source = table.source.model_copy(update={"timestamp_unit": unit})


def _likeliest(table: Table, named: Sequence[Column]) -> Column | None:
    """The time of the events: the column that is called so first, if it has one, else one that may be it; none that
    most rows lack which have another, as the day that a meal is planned for.

    Args:
        table: of events.
        named: the columns that go by a name for it, the likeliest first.
    """
    timed = [column for column in table.free if column.time_unit]
    first = [column for column in named[:1] if column in timed]
    others = [column for column in timed if column not in first and of_our_time(column)]
    likely = [*first, *sorted(others, key=lambda column: column not in named)]
    full = max((column.filled for column in likely if column in named or column.time_unit not in UNITS), default=0.0)
    later = any(map(_planned, likely))  # then what is of the item, as the day of its release, is no better

    def worse(column: Column) -> tuple[bool, bool]:
        return column.filled < SCARCE * full, later and (_planned(column) or _of_item(table, column))

    found = min(likely, key=worse, default=None)
    return found and next((column for column in timed if _finer(column, found)), found)


def _planned(column: Column) -> bool:
    return not PLANNED.isdisjoint(column.snake.split("_"))


def _of_item(table: Table, column: Column) -> bool:
    """Whether a time is one for each item, of those that come again."""
    item = table.mapped["item_id"][0] if "item_id" in table.mapped else None
    return item is not None and item.distinct < len(item.texts) and one_each(item.values, column.values, again=True)


def _finer(column: Column, day: Column) -> bool:
    """Whether a column has the moments of which `day` has the days, in whatever time zone."""
    if (
        day.time_unit not in WRITTEN
        or day.like(DAYS) < MANY
        or column.time_unit in ("", "native")
        or column.like(DAYS) >= MANY
    ):
        return False
    own, days = (cells.parse_time(each.values, each.time_unit)[0] for each in (column, day))
    ahead = pc.subtract(own, days)
    fit = pc.and_(pc.greater_equal(ahead, -DAY_MS), pc.less_equal(ahead, 2 * DAY_MS))
    return bool((pc.mean(fit).as_py() or 0) >= MANY)
