"""Which column of unknown events is their time."""

from __future__ import annotations

import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.day_orders import FORM, WRITTEN
from souk.ingest.guess_columns import Table, column_named
from souk.ingest.guess_fit import forms_of_times
from souk.ingest.profile import DATE, MANY, Column
from souk.schema import DAY_MS

DAYS = rf"^(\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{4}}|{cells.DAY})$"


def map_time(table: Table) -> None:
    timed = [column for column in table.free if column.time_unit]
    named = column_named(table, "timestamp")
    found = named if named in timed else next(iter(timed), None)
    found = found and next((column for column in timed if _finer(column, found)), found)
    if found is None:
        dated = named or next((column for column in table.free if column.like(DATE) >= MANY), None)
        mixed = next((column for column in table.free if len(forms_of_times(column)) > 1), None)
        received = f"{dated.name} with values such as {dated.examples}" if dated else "no column with times"
        if mixed is not None:
            received = f"{mixed.name} with times of several forms, {' and '.join(forms_of_times(mixed))}"
        given = "Give all times" if mixed else "Give times"
        either = dated is not None and not mixed and dated.like(FORM) >= MANY
        order = " Nothing tells whether the day or the month is first: the first rows are of few days." * either
        raise SoukError(
            f"the time of an event in {table.source.path}",
            received,
            f"{given} as 2024-05-31 or 2024-05-31T12:00:00Z, or as seconds, milliseconds or microseconds since "
            f"1970.{order}",
        )
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
