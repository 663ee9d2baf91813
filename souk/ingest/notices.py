"""What a reader should know of a table and no row is refused for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.ingest.mapping import TableSource
from souk.ingest.reading import FIRST_WEEKS_MS, LATEST_MS
from souk.readers import find_files, log_files
from souk.schema import DAY_MS, ID_COLUMN, EventType, Kind
from souk.sources.freshness import imported

# The least share of the ids in events that a file should have: a shop lists what it sells, and knows less of its users.
USUAL = {"items": 0.5, "users": 0.1}
EXAMPLES = 3
LINES, NAMED = 6, 20  # columns that are told in a line each, and names in one line
SEPARATORS = ("|", ";", ",", ">")
NEARLY_ALL = 0.9
NEVER_MS = 253_402_300_800_000  # the year 10000: microseconds read as milliseconds lie after it
YEAR_MS = 365 * DAY_MS


def unused(table: TableSource, names: Iterable[str]) -> Iterator[str]:
    """The columns `names` of the files that nothing reads; of many, as a count for each item, one line."""
    ignored = table.ignored(names)
    if len(ignored) <= LINES:
        yield from (f"{table.name}: column {name} of the source is not used" for name in ignored)
        return
    shown = ", ".join(ignored[:NAMED]) + (f" and {len(ignored) - NAMED} more" if len(ignored) > NAMED else "")
    yield f"{table.name}: {len(ignored)} columns of the source are not used: {shown}"


def absent(table: TableSource, files: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The columns that the config names and only some of the files have.

    Args:
        table: of which these are files.
        files: by column, those that lack it.
    """
    for raw, without in files.items():
        made = {*table.parts, *table.source.constants}  # a part that is missing is told by its own name
        of = next((n for n in table.schema.names if n not in made and raw in table.origin(n)), raw)
        shown = ", ".join(without[:EXAMPLES]) + (
            f" and {len(without) - EXAMPLES} more" if len(without) > EXAMPLES else ""
        )
        yield f"{table.name}: no column {raw} in {shown}: {of} of these rows is missing"


def lone_places(name: str, rows: pa.Table) -> Iterator[str]:
    """Whether impressions have places in slates, and nothing says which belong to one."""
    if name != "events":
        return
    shown = rows.filter(pc.and_(pc.equal(rows["event_type"], EventType.IMPRESSION.value), rows["position"].is_valid()))
    if shown.num_rows and shown["request_id"].null_count == shown.num_rows:
        why = "what was shown together is not known, and the ranker learns nothing from logged slates"
        yield f"events: impressions have a position and no request_id: {why} (docs/models.md)"


def unread(folder: Path, table: TableSource) -> Iterator[str]:
    """Whether servers were sent events that the config does not read: where these are removed, nothing has them.

    Args:
        folder: where the workspace's servers keep them.
        table: the events; its files, or those of its log, may be copies of these.
    """
    there = log_files(str(folder))
    names = [file.name for file in find_files(table.source.path)] if there else []
    read = {PurePath(name).parts[-2:] for name in (*names, *(source.path for source in table.log))}  # day and name
    if count := sum(PurePath(name).parts[-2:] not in read for name in there):
        remedy = f"set data.event_log: {folder.resolve()}"
        yield f"events: of what servers were sent, {count:,} of {len(there):,} files are not read: {remedy}"


def unsplit(table: TableSource, rows: pa.Table) -> Iterator[str]:
    """The lists and paths of which no cell has the separator that the config names.

    Args:
        table: where the rows are from.
        rows: accepted ones.
    """
    for name, separator in table.source.separators.items():
        kind, cells = table.kinds.get(name), rows[name].drop_null()
        if kind is Kind.LIST:
            whole, entries = pc.max(pc.list_value_length(cells)).as_py() == 1, pc.list_flatten(cells)
        elif kind is Kind.PATH:
            whole, entries = not pc.any(pc.match_substring(cells, "/")).as_py(), cells
        else:
            continue
        if not len(cells) or not whole:
            continue
        others = {other: pc.sum(pc.match_substring(entries, other)).as_py() or 0 for other in SEPARATORS}
        likely = max(others, key=lambda other: others[other])
        found = f"{table.name}.{name}: none of {len(cells):,} cells has the separator {separator!r}"
        yield found + (f", {others[likely]:,} have {likely!r}" if others[likely] else "")


def unmatched(name: str, known: pa.Array, seen: pa.Array) -> Iterator[str]:
    """Whether a file describes few of the items or users that events mention, or none.

    Args:
        name: "items" or "users".
        known: the ids in the file.
        seen: those in events.
    """
    described = pc.is_in(seen, value_set=known)
    count = pc.sum(described).as_py() or 0
    if not len(known) or not len(seen) or count >= USUAL[name] * len(seen):
        return
    here, there = seen.filter(pc.invert(described)), known.filter(pc.invert(pc.is_in(known, value_set=seen)))
    shown = f"events have {_examples(here)}" + (f", the file {_examples(there)}" if len(there) else "")
    if count:
        found = f"{name}: the file has {count:,} of the {len(seen):,} {name} in events, and {len(there):,} others"
        yield f"{found}: {shown}. Those that the file lacks have no columns: are the ids of both written alike?"
        return
    key = ID_COLUMN[name]
    found = f"{name}: the file has NONE of the {len(seen):,} {name} in events, and {len(there):,} others"
    mend = f"name the columns that have the same ids (data.events.columns.{key}, data.{name}.columns.{key})"
    yield f"{found}: {shown}. What was done tells nothing of the file's rows: {mend}, or write the ids alike"


def unread_rows(refused: pa.Table, items: pa.Table, known: pa.Array, last: int) -> Iterator[str]:
    """How many items that events mention have nothing but refused rows, or skipped ones, and what becomes of them.

    Args:
        refused: of `souk.ingest.refused.RefusedItems`.
        items: all of them, as they are written.
        known: the ids of the rows that are accepted.
        last: the time of the last event, UTC epoch milliseconds: what ended before is in no slate.
    """
    left = refused.filter(pc.invert(pc.is_in(refused["item_id"], value_set=known)))
    back = left.filter(pc.is_in(left["item_id"], value_set=items["item_id"].combine_chunks()))
    goes_on = pc.fill_null(pc.greater(back["available_until"], last), True)
    shown = pc.sum(pc.and_(back["available"], goes_on)).as_py() or 0
    skipped = pc.sum(back["skipped"]).as_py() or 0
    if shown:
        yield f"items: {shown:,} in events, whose row is refused, are recommended without title and columns"
    if count := back.num_rows - shown - skipped:
        why = "it says so, or its available or available_until cannot be read"
        yield f"items: {count:,} in events, whose row is refused, are not available: {why}"
    if skipped:
        yield f"items: {skipped:,} in events, whose row `skip` leaves out, are not available, and have no columns"


def without_rows(events: Path, lacking: pa.Array, seen: pa.Array, hidden: bool) -> Iterator[str]:
    """How many items that events mention have no row in the file, and what keeps them out of slates; of a file that has
    none of them `unmatched` tells.

    Args:
        events: `events.parquet`.
        lacking: their ids.
        seen: the ids in events.
        hidden: whether they are not available.
    """
    if len(lacking) in (0, len(seen)):
        return
    named = rows = 0
    for batch in parquet.ParquetFile(events).iter_batches(columns=["item_id"]):
        named += pc.sum(pc.is_in(batch["item_id"], value_set=lacking)).as_py() or 0
        rows += batch.num_rows
    found = f"items: {len(lacking):,} with {named / rows:.2%} of the events have no row in the file"
    if hidden:
        yield f"{found}: they are not available (ingest.items_without_rows)"
        return
    mend = "If it lists all that can be had, set ingest.items_without_rows to unavailable (docs/data.md)"
    yield f"{found}: they are recommended, without title and columns. {mend}"


def odd_dates(created: pa.ChunkedArray, last: int) -> Iterator[str]:
    """Whether dates of creation seem to be in another unit, are to come, or most of them are one, that of an import.

    Args:
        created: of all items, UTC epoch milliseconds, null where unknown.
        last: the time of the last event, UTC epoch milliseconds; a day after it is still that of other clocks.
    """
    dates = created.cast(pa.float64(), safe=False).to_numpy()
    known = dates[~np.isnan(dates)]
    # Where the events are of the first weeks too, their clock began at 0.
    early = (known != 0) & (np.abs(known) < FIRST_WEEKS_MS) & (last > FIRST_WEEKS_MS)
    strange = known[early | (known > min(last + YEAR_MS, LATEST_MS))]
    if len(strange) and len(strange) >= NEARLY_ALL * len(known):
        found = f"items: {len(strange):,} of {len(known):,} created_at are around {moment(float(np.median(strange)))}"
        yield f"{found}: where they are numbers, data.items.timestamp_unit is likely wrong"
        return
    late = dates[dates > last + DAY_MS]
    if len(late):
        found = f"items: {len(late):,} of {len(dates):,} are created more than a day after the last event"
        yield f"{found}, the latest on {moment(late.max())}: each is offered from its date on only"
    for date in imported(dates):
        same = int((dates == date).sum())
        if same > 1:
            found = f"items: {same:,} of {len(dates):,} have the same created_at, of {moment(date)}"
            yield f"{found}: that of an import tells no age, and the interest in new items is measured without it"


def odd_ends(until: pa.ChunkedArray, created: pa.ChunkedArray, last: int) -> Iterator[str]:
    """Whether the last moments of items seem to be in another unit, or come before their creation.

    Args:
        until: of all items, UTC epoch milliseconds, null where an item has no end.
        created: likewise, null where unknown.
        last: the time of the last event, UTC epoch milliseconds.
    """
    ends, births = (column.cast(pa.float64(), safe=False).to_numpy() for column in (until, created))
    known = ends[~np.isnan(ends)]
    for strange in (known[(known < FIRST_WEEKS_MS) & (last > FIRST_WEEKS_MS)], known[known > NEVER_MS]):
        if len(strange):
            shown, most = moment(float(np.median(strange))), len(strange) >= NEARLY_ALL * len(known)
            found = f"items: {len(strange):,} of {len(known):,} available_until are around {shown}"
            unit = "where they are numbers, data.items.timestamp_unit is likely wrong"
            yield f"{found}: {unit if most else 'in another unit, or empty ones are meant, where there is no end'}"
            if most:
                return
    turned = int((ends < births).sum())
    if turned:
        found = f"items: {turned:,} of {len(known):,} with an available_until end before they are created"
        doubt = ": are the two columns exchanged?" if turned >= NEARLY_ALL * len(known) else ""
        yield f"{found}, and are in no slate of a server{doubt}"


def moment(milliseconds: float) -> str:
    """A time of UTC epoch milliseconds for people; one that no calendar has stays a number."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds:,.6g}"


def _examples(ids: pa.Array) -> str:
    return ", ".join(repr(text[:40]) for text in ids.slice(0, EXAMPLES).to_pylist())
