"""The first config of a data set, written from its files: every guess with its evidence beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.config import parse_config
from souk.ingest.checks import check_early, check_schema, of_later_years
from souk.ingest.faults import faulty
from souk.ingest.guess.aftermath import skip_aftermath
from souk.ingest.guess.chosen import skip_unchosen
from souk.ingest.guess.clock import map_clock
from souk.ingest.guess.columns import Table, declare, map_rest, open_table
from souk.ingest.guess.config_source import LEFT_OUT, comment, render_source
from souk.ingest.guess.contracts import note_ended, skip_decided
from souk.ingest.guess.counts import map_counts
from souk.ingest.guess.dates import map_births, map_starts, note_touched, note_zone
from souk.ingest.guess.drawn_rows import draw_described, draw_users
from souk.ingest.guess.dwell import map_dwell
from souk.ingest.guess.exchanged import check_events, check_exchanged, doubt_exchanged
from souk.ingest.guess.flags import note_flags
from souk.ingest.guess.ids import map_ids, note_unlisted
from souk.ingest.guess.itemless import skip_itemless
from souk.ingest.guess.milestones import skip_milestones
from souk.ingest.guess.nested import check_flat
from souk.ingest.guess.nobody import map_nobody
from souk.ingest.guess.other_ids import map_other_ids
from souk.ingest.guess.repeat import repeat
from souk.ingest.guess.rivals import note_people, note_rivals
from souk.ingest.guess.rows import note_no_item, note_rows
from souk.ingest.guess.rules import note_steps, objectives
from souk.ingest.guess.same_file import items_of, leave_to_items, same_file
from souk.ingest.guess.stars import skip_unrated
from souk.ingest.guess.takers import map_takers
from souk.ingest.guess.time import map_time
from souk.ingest.guess.twice import skip_twice
from souk.ingest.guess.types import map_type
from souk.ingest.guess.undone import skip_undone
from souk.ingest.guess.uses import map_uses, skip_uses
from souk.ingest.guess.wide import check_wide
from souk.ingest.guess.zeros import note_zeros
from souk.ingest.guess.zone import map_zone
from souk.ingest.mapping import TableSource
from souk.ingest.profile import SAMPLE_ROWS
from souk.ingest.reading import Reading
from souk.ingest.sample import Sample
from souk.ingest.schemas import contract_schema
from souk.progress import seldom
from souk.schema import ID_COLUMN

FEW_REFUSED, MOST_REFUSED = 0.04, 0.5  # shares of a table
# Characters that no YAML has, or that end its lines: as escapes they stand in quotes and in comments.
UNREADABLE = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
DESCRIBED = {"user_id": "users", "item_id": "items"}


@dataclass(frozen=True)
class FirstConfig:
    """A first config: its text, the event types that no word tells, which it takes for clicks, why the files of items
    and users may be exchanged, why only some of what users do engages, what every event is where a column may be their
    type, which events are left out as purchases told twice, as those that nobody chose or as of what users have, what
    is no id and stands for one, and which shares of the tables the contract refuses where these are most; "" where
    nothing says so."""

    text: str
    unknown: tuple[str, ...] = ()
    exchanged: str = ""
    steps: str = ""
    untyped: str = ""
    left_out: tuple[str, ...] = ()
    groups: str = ""
    refused: str = ""


def first_config(
    events: str,
    items: str | None,
    users: str | None,
    name: str,
    headers: Mapping[str, Sequence[str]] = {},
    tell: Callable[[str], None] = lambda text: None,
) -> FirstConfig:
    """A first config: columns, kinds, objectives and the repeat rule guessed from the files.

    Args:
        events: path or URL of the events.
        items: of the items, if there are any.
        users: of the users, if there are any.
        name: of the data set.
        headers: by table, the names of the columns of a file that has no line of them.
        tell: takes a line of progress, now and then.

    Raises:
        SoukError: a file that cannot be read or is in the place of another, or no column that could be the user, the
            item or the time.
    """
    name = re.sub(r"[^a-z0-9_]+", "_", name.lower()).lstrip("_0123456789").rstrip("_") or "my_data"
    own = same_file(events, items)
    paths = {"events": events, "items": None if own else items, "users": users}
    tables = {key: open_table(key, path, headers.get(key, ())) for key, path in paths.items() if path}
    check_events(tables)
    check_wide(tables["events"])
    named = check_exchanged(tables)
    opened, tables = tables, _described(tables, tell)
    _map_ids(tables)
    tables["events"] = draw_users(tables["events"], tell)
    if "drawn" in tables["events"].notes:
        tables = _described({**opened, "events": tables["events"]}, tell)  # not of what the first events have
        _map_ids(tables)
    if own:
        tables = {"events": tables["events"], "items": items_of(tables["events"]), **tables}
    map_nobody(tables["events"])
    if "items" in tables:
        note_unlisted(tables["events"], tables["items"])
    map_time(tables["events"])
    map_clock(tables["events"])
    map_zone(tables["events"])
    exchanged = named or doubt_exchanged(tables)
    map_dwell(tables["events"])
    map_type(tables["events"])
    note_flags(tables["events"])
    skip_unchosen(tables["events"])
    skip_undone(tables["events"])
    skip_decided(tables["events"])
    skip_milestones(tables["events"])
    skip_aftermath(tables["events"])
    note_ended(tables["events"])
    map_uses(tables["events"])
    note_no_item(tables["events"], tables.get("items"))
    skip_itemless(tables["events"])
    if "items" in tables:
        map_starts(tables["events"], tables["items"])
        map_births(tables["events"], tables["items"])
    for target, other in DESCRIBED.items():
        if other in tables:
            note_zeros(tables["events"], tables[other], target)
            note_rivals(tables["events"], tables[other], target)
            map_counts(tables["events"], tables[other], target)
    if "items" in tables:
        note_people(tables["events"], tables["items"])
        map_takers(tables["events"], tables["items"])
        note_touched(tables["events"], tables["items"])
    for table in tables.values():
        map_rest(table)
        declare(table)
        note_zone(table)
    skip_unrated(tables["events"])
    leave_to_items(tables)
    skip_twice(tables["events"])
    skip_uses(tables["events"])
    note_rows(tables["events"])
    note_steps(tables["events"], tables.get("items"))
    text = _render(name, tables, exchanged)
    refused = {key: _refused(text, key, tell) for key in tables}
    text = _render(name, tables, exchanged, refused) if max(refused.values()) > 0 else text
    notes = tables["events"].notes
    groups = ". ".join(notes[target] for target in ("user_id", "item_id") if target in notes)
    left_out = tuple(notes[key] for key in LEFT_OUT if key in notes)
    return FirstConfig(
        text,
        tuple(tables["events"].unknown),
        exchanged,
        notes.get("steps", ""),
        notes.get("event_type", ""),
        left_out,
        groups,
        _shares(refused) if max(refused.values()) > MOST_REFUSED else "",
    )


def _described(tables: Mapping[str, Table], tell: Callable[[str], None]) -> dict[str, Table]:
    """The tables, with the rows of items and users that the events have where only the first were looked at."""
    found = dict(tables)
    for target, other in DESCRIBED.items():
        if other in tables:
            found[other].mapped.pop(target, None)
            found[other] = draw_described(target, tables["events"], found[other], tell)
    return found


def _map_ids(tables: Mapping[str, Table]) -> None:
    for target, other in DESCRIBED.items():
        map_ids(target, tables["events"], tables.get(other), tables.get("items"))
    if "items" in tables:
        tables["events"].listed_as = tables["items"].mapped["item_id"][0].snake
    map_other_ids(tables["events"], tables.get("items"))
    check_flat(tables["events"])


def _refused(text: str, key: str, tell: Callable[[str], None]) -> float:
    """The share of a table's rows that the contract would refuse under this config, those of items and users that
    repeat an id with them."""
    config = parse_config(text)
    kinds, source = getattr(config.columns, key), getattr(config.data, key)
    contract, refused, rows, due = contract_schema(key, kinds), 0, 0, seldom()
    told: list[pa.ChunkedArray] = []
    times, early = Sample(pa.schema([("timestamp", pa.int64())])), 0
    for batch in Reading(TableSource(key, source, kinds)):
        faults = [*batch.faults, *check_schema(batch.table, contract, {})]
        count = batch.table.num_rows
        bad = faulty(faults, count)
        refused += int(bad.sum())
        rows += count
        if key != "events" and source.repeated_ids == "quarantine":
            told.append(batch.table[ID_COLUMN[key]].filter(pa.array(~bad)))
        if key == "events":
            times.add(batch.table.select(["timestamp"]), np.ones(count, bool))
            early += int((faulty(check_early(batch.table), count) & ~bad).sum())
        if due():
            tell(f"{key}: {rows:,} rows read, to see what the contract would refuse")
    refused += early if of_later_years(times.table["timestamp"].combine_chunks()) else 0
    ids = pa.chunked_array([chunk for each in told for chunk in each.chunks], pa.string())
    refused += len(ids) - pc.count_distinct(ids).as_py()
    return refused / max(1, rows)


def _shares(refused: Mapping[str, float]) -> str:
    """Of which tables the contract refuses how much."""
    return ", ".join(f"{share:.1%} of {key}" for key, share in refused.items() if share > 0)


def _render(name: str, tables: dict[str, Table], exchanged: str, refused: dict[str, float] | None = None) -> str:
    drawn = "".join(f"; of {key}: {t.notes['drawn']}" for key, t in tables.items() if "drawn" in t.notes)
    lines = [
        f"# First config of {name}, guessed by `souk init` from the first {SAMPLE_ROWS:,} rows of each file{drawn}.",
        "# Check: beside each guess stands why. Every key is explained in docs/data.md.",
        "# Then: souk run --config THIS_FILE",
        *([f"# ARE --items AND --users EXCHANGED? {comment(exchanged)}: look at the ids below."] if exchanged else []),
        f"name: {name}",
        "",
        "data:",
    ]
    for table in tables.values():
        lines += render_source(table)
    lines += ["", "columns:  # what to learn from, and how"]
    lines += [line for table in tables.values() for line in _render_declared(table)]
    lines += ["", *objectives(tables["events"]), "", repeat(tables["events"], tables.get("items"))]
    keys = _ingest_keys(tables)
    if refused:
        worst = max(refused.values())
        shares = _shares(refused)
        bar = np.ceil(100 * (worst * 1.1 + 0.01)) / 100
        if worst <= FEW_REFUSED:
            lines += ["", f"# The contract refuses {shares}: these rows go to the quarantine."]
        elif worst > MOST_REFUSED:  # a bar above that would be none: a guess above is wrong
            lines += ["", f"# The contract refuses {shares}: a column above is not what it seems. Mend it, then run."]
        else:
            keys.append(f"  quarantine_threshold: {bar:g}  # the contract refuses {shares}; 0.05 is usual")
    if keys:
        lines += ["", "ingest:", *keys]
    return UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", "\n".join(lines)) + "\n"


def _ingest_keys(tables: dict[str, Table]) -> list[str]:
    """Items that only the past knows are kept out where the file lists nearly all of what events mention."""
    why = tables["items"].notes.get("items_without_rows", "") if "items" in tables else ""
    return [f"  items_without_rows: unavailable  # {why}"] if why else []


def _render_declared(table: Table) -> list[str]:
    context = "  # keep what a request has when it asks for a slate, before anything is done" * (table.name == "events")
    lines = [f"  {table.name}:{context}" if table.declared else f"  {table.name}: {{}}"]
    for target, (_, guess) in table.declared.items():
        lines.append(f"    {target}: {guess.kind}  # {comment(guess.evidence)}")
    lines += [f"    # left out: {comment(name)} ({comment(evidence)})" for name, evidence in table.left_out]
    return lines
