"""Step 1: the data set's files to checked tables."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.config import Columns, Data, Ingest, Source, parse_step_config
from souk.errors import FULL, SoukError, shown
from souk.features.labels import engaging_rows
from souk.ingest.faults import Reason
from souk.ingest.last_out import leave_last_out
from souk.ingest.lifetimes import Lifetimes, until_sold, until_taken
from souk.ingest.mapping import TableSource
from souk.ingest.notices import odd_dates, odd_ends, unmatched, unread, unread_rows, without_rows
from souk.ingest.odd.events import odd_events
from souk.ingest.odd.exchanged import check_exchanged
from souk.ingest.odd.goods import odd_goods
from souk.ingest.odd.hides import odd_hides
from souk.ingest.odd.late import odd_arrivals
from souk.ingest.odd.lengths import odd_lengths
from souk.ingest.odd.paths import odd_paths
from souk.ingest.odd.prices import odd_prices
from souk.ingest.odd.quantities import odd_quantities
from souk.ingest.odd.spellings import odd_spellings
from souk.ingest.odd.twice import sent_and_exported, told_twice
from souk.ingest.odd.vectors import odd_vectors
from souk.ingest.outliers import Limits, check_override_names
from souk.ingest.packed import unpacked
from souk.ingest.quarantine import VALUES, Quarantine, check_threshold
from souk.ingest.reading import look
from souk.ingest.refused import rowless
from souk.ingest.report import write_report
from souk.ingest.schemas import SchemaFolder
from souk.ingest.statistics import Windows, compared
from souk.ingest.tables import complete, seal, write_events, write_tables
from souk.ingest.validate import Rules, Validated, anomalies, validate
from souk.progress import report
from souk.readers import fingerprint, log_files, written
from souk.schema import ID_COLUMN, Kind
from souk.workspace import Workspace

TABLES = ("events", "items", "users")
SHOWN = 40  # characters of a refused type of event there
REASONS = 5  # of a table's refused rows that a line of progress names


def ingest(
    config: str, schema: str, workspace: str, tables: str, quarantine: str, report_html: str, events_log: str = ""
) -> dict[str, float]:
    """Reads, checks and sorts the events, items and users of a data set.

    Args:
        config: JSON of the config's sections for this step.
        schema: TFDV schemas (text) by table, packed (souk.ingest.packed) or JSON; "" for those of the workspace, which
            are inferred once.
        workspace: path of the workspace.
        tables: output folder, "tables" in docs/architecture.md.
        quarantine: output folder for refused rows.
        report_html: output file: statistics, quarantine, anomalies.
        events_log: where servers keep what they were sent; "" for the workspace's.

    Raises:
        SoukError: files that cannot be read as the config says, or more refused rows than it allows.
    """
    sections = parse_step_config("ingest", config)
    given = unpacked(schema)
    kinds = {name: getattr(sections.columns, name) for name in TABLES}
    check_override_names(sections.ingest.outliers, kinds)
    now = time.time()
    latest = int((now + sections.ingest.allowed_future_seconds) * 1000)
    items = sections.data.items
    oldest, as_of = written(items.path, int(now * 1000)) if items else (0, 0)
    folder = SchemaFolder(Workspace(Path(workspace)).schemas / sections.name)
    sources = sources_of(sections.data, sections.columns)
    Path(quarantine).mkdir(parents=True, exist_ok=True)
    for table in sources.values():
        if early := look(table):
            report(early)
    kept = Path(events_log) if events_log else Workspace(Path(workspace)).events
    unread_log = [*unread(kept, sources["events"])]
    with _spill(Path(tables).parent) as spill:
        checked: dict[str, Validated] = {}
        for name in TABLES:
            table = sources[name]
            if table.source.path:
                log = _log_told(sections.data.event_log, len(table.log)) if name == "events" else ""
                report(f"{name}: reading {shown(table.source.path)}{log}")
            widths = sections.columns.widths_of(name)
            rules = Rules(sections.name, given.get(name, ""), folder, sections.ingest.outliers, latest, widths)
            (spill / name).mkdir()
            checked[name] = validate(table, rules, spill / name, Path(quarantine) / f"{name}.parquet")
            if checked[name].quarantine.read:
                report(_line(checked[name].quarantine))
        content = fingerprint(sections.data)
        windows = Windows(folder.folder / "statistics")
        found = {
            name: anomalies(name, each.statistics, each.schema, windows.before(content, name))
            for name, each in checked.items()
        }
        write_report(sections.name, checked, found, Path(report_html))
        refused = [each.quarantine for each in checked.values()]
        check_threshold(refused, sections.ingest.quarantine_threshold, Path(quarantine), sources)
        for line in (*(n for each in checked.values() for n in each.notices), *(a for e in found.values() for a in e)):
            report(line)
        dated = sections.split.protocol != "leave_last_out"  # which drops the dates of items
        engaging = partial(engaging_rows, objective=sections.objectives.engaged)
        names = {name: table.own_names for name, table in sources.items()}
        parts = {name: table.parts for name, table in sources.items()}
        times = {"items_as_of": as_of, "items_oldest": oldest}
        origin = {"fingerprint": content, **times, "names": names, "parts": parts}
        origin |= {"event_types": sources["events"].own_types, "separators": sources["items"].path_separators}
        origin["bounds"] = {name: Limits.of(each.bounds).told for name, each in checked.items()}
        once, counts = sections.repeat.sold_once, engaging if dated else None
        rows, late, lives = _write(checked, origin, sections.ingest, counts, once, kinds, Path(tables))
        events = Path(tables) / "events.parquet"
        goods = Path(tables) / "items.parquet"
        odd = odd_events(events, sections.data.events.timezone), odd_prices(events, goods), odd_goods(events, goods)
        lists = [column for column, kind in kinds["events"].items() if kind is Kind.LIST]
        cells = parquet.ParquetFile(events).iter_batches(columns=lists) if lists else ()
        rest = (
            odd_quantities(events),
            told_twice(events),
            sent_and_exported(events, sources["events"].log),
            odd_hides(events),
            odd_arrivals(events),
            odd_lengths("events", cells, kinds["events"]),
        )
        late["events"] = [line for lines in (unread_log, *odd, *rest) for line in lines]
        for line in (line for lines in late.values() for line in lines):
            report(line)
        if any(late.values()):  # known once the events are sorted; a run that stopped before has its report, too
            checked |= {name: replace(checked[name], notices=(*checked[name].notices, *late[name])) for name in late}
            write_report(sections.name, checked, found, Path(report_html))
        if lives:
            lives.check(" or ".join(sources["items"].origin("available_until")), once)
        else:
            leave_last_out(events, Path(tables) / "items.parquet", engaging)
        seal(Path(tables))
    windows.keep(content, {name: compared(each.statistics, each.schema) for name, each in checked.items()})
    return _metrics(checked, found, rows)


def sources_of(data: Data, columns: Columns) -> dict[str, TableSource]:
    """Where each table comes from: its files, and of events those of the log, too."""
    logged = tuple(Source(path=path, format="jsonl") for path in log_files(data.event_log))
    return {
        name: TableSource(
            name, getattr(data, name) or Source(path=""), getattr(columns, name), logged if name == "events" else ()
        )
        for name in TABLES
    }


def _log_told(folder: str, count: int) -> str:
    """What there is of the event log; a path that leads elsewhere would lose all that servers were sent."""
    if not folder:
        return ""
    found = f"{count:,}" if count else "NONE yet; is it in the workspace that the servers have?"
    return f", and of the event log {shown(folder)} closed files: {found}"


@contextlib.contextmanager
def _spill(folder: Path) -> Iterator[Path]:
    """A folder on the disk of the outputs for rows on their way, gone at the end.

    Raises:
        SoukError: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".ingest-") as name:
            yield Path(name)
    except OSError as error:
        if error.errno not in FULL:
            raise
        remedy = "Rows wait there until they are sorted: make room for about twice the data."
        raise SoukError(f"free space on the disk of {folder}", "none left", remedy) from error


def _write(
    checked: dict[str, Validated],
    origin: dict[str, Any],
    rules: Ingest,
    engaging: Callable[[pa.Table], np.ndarray] | None,
    once: bool,
    kinds: Mapping[str, Mapping[str, Kind]],
    folder: Path,
) -> tuple[dict[str, int], dict[str, list[str]], Lifetimes | None]:
    """Writes the tables, and `origin` in their manifest.

    Args:
        checked: the tables.
        origin: what they are made of.
        rules: whether items without an event, or without a row, are available.
        engaging: says which rows of events are engagements; None where the dates of items count for nothing.
        once: whether a purchase ends its item.
        kinds: of the declared columns, by table.
        folder: to write to.

    Returns:
        The rows of each and the items that are available; by table, what to know of it beside the events; and, where
        they count, how the engagements lie to the dates of items.
    """
    if not checked["events"].accepted.count:
        raise SoukError("an event to learn from", "none was accepted", "See the quarantine, and `skip` in the config.")
    counts = {name: each.quarantine.counts() for name, each in checked.items()}
    events = write_events(checked["events"].accepted, folder / "events.parquet")
    known = {
        name: checked[name].accepted.whole()[ID_COLUMN[name]].combine_chunks()
        for name in ("items", "users")
        if checked[name].quarantine.read
    }
    check_exchanged(known, events.seen, origin["names"]["events"])
    withdraw, hide = (key == "unavailable" for key in (rules.items_without_events, rules.items_without_rows))
    refused = checked["items"].refused
    lacking = rowless(events.seen["items"], known["items"], refused) if "items" in known else pa.array([], pa.string())
    hidden = lacking if hide else lacking.slice(0, 0)
    late: dict[str, list[str]] = {"items": [], "users": []}
    for name, ids in known.items():
        late[name] += unmatched(name, ids, events.seen[name])
    done = {
        name: complete(name, checked[name].accepted, events.seen[name], refused, hidden, withdraw and name == "items")
        for name in ("items", "users")
    }
    if "items" in known:
        late["items"] += unread_rows(refused, done["items"], known["items"], events.last)
        late["items"] += without_rows(folder / "events.parquet", lacking, events.seen["items"], hide)
    for name, table in done.items():
        late[name] += odd_spellings(name, table, kinds[name])
        late[name] += odd_vectors(name, table, kinds[name])
        late[name] += odd_lengths(name, table.to_batches(), kinds[name])
    if {"users", "items"} <= set(done):
        late["users"] += odd_paths(done["users"], kinds["users"], done["items"], kinds["items"])
    lives = None
    if engaging:
        if once:
            done["items"], sold = until_sold(folder / "events.parquet", done["items"], events.last)
            of = f"{sold:,} of {done['items'].num_rows:,}"
            late["items"].append(f"items: {of} end with their purchase (repeat.sold_once)")
        done["items"], moved = until_taken(folder / "events.parquet", done["items"], engaging)
        if moved:
            near = "come less than a minute before an engagement with their item, and are moved to it"
            late["items"].append(f"items: {moved:,} available_until {near}")
        lives = Lifetimes.of(folder / "events.parquet", done["items"], engaging, events.last)
        created, until = done["items"]["created_at"], done["items"]["available_until"]
        late["items"] += [*odd_dates(created, events.last), *odd_ends(until, created, events.last), *lives.notices()]
    manifest = {"tables": counts, "first_event": events.first, "last_event": events.last, **origin}
    write_tables(done, {name: each.schema_text for name, each in checked.items()}, manifest, folder)
    available = int(pc.sum(done["items"]["available"]).as_py())
    if withdraw:
        report(f"items: {available:,} of {done['items'].num_rows:,} have an event and are available")
    rows = {"events": events.rows, **{name: t.num_rows for name, t in done.items()}, "items_available": available}
    return rows, late, lives


def _line(table: Quarantine) -> str:
    counts = list(table.reasons.items())[:REASONS]
    reasons = ", ".join(f"{count:,} {reason}{_words(table, reason)}" for reason, count in counts)
    if len(table.reasons) > REASONS:
        reasons += f", {len(table.reasons) - REASONS} more reasons"
    skipped = ", ".join(f"{count:,} by {why}" for why, count in table.left_out.items())
    line = f"{table.name}: {table.read:,} read, {table.refused:,} quarantined" + (f" ({reasons})" if reasons else "")
    return line + (f", skipped {skipped}" if skipped else "")


def _words(table: Quarantine, reason: str) -> str:
    """The types of events that are refused as unknown: new ones would be lost without a word."""
    words = table.values.get(reason, ()) if reason == f"{Reason.DOMAIN} event_type" else ()
    shown = ", ".join(" ".join(word.split())[:SHOWN] for word in words)
    return f": {shown}{', perhaps others' * (len(words) == VALUES)}" if words else ""


def _metrics(checked: dict[str, Validated], found: dict[str, list[str]], rows: dict[str, int]) -> dict[str, float]:
    values: dict[str, float] = {"anomalies": float(sum(map(len, found.values())))}
    for name, each in checked.items():
        values[f"{name}_read"] = float(each.quarantine.read)
        values[f"{name}_quarantined"] = float(each.quarantine.refused)
        values[f"{name}_skipped"] = float(sum(each.quarantine.left_out.values()))
    return values | {name: float(count) for name, count in rows.items()}
