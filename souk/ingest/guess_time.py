"""Which column of unknown events is their time."""

from __future__ import annotations

import pyarrow.compute as pc

from souk.ingest import cells
from souk.ingest.day_orders import WRITTEN
from souk.ingest.guess_columns import Table, column_named
from souk.ingest.guess_no_time import no_time, of_our_time
from souk.ingest.profile import MANY, Column
from souk.schema import DAY_MS

DAYS = rf"^(\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{4}}|{cells.DAY})$"


def map_time(table: Table) -> None:
    timed = [column for column in table.free if column.time_unit]
    named = column_named(table, "timestamp")
    found = named if named in timed else next((column for column in timed if of_our_time(column)), None)
    found = found and next((column for column in timed if _finer(column, found)), found)
    if found is None:
        raise no_time(table.source.path, table.free, named)
    unit = found.time_unit
    table.mapped["timestamp"] = found, "dates already" if unit == "native" else f"{unit}: {found.examples}"
    if unit != "native":
        table.source = table.source.model_copy(update={"timestamp_unit": unit})


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
