"""Which columns of unknown files are the user, the item, the time and what else there is to learn from."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from souk.config import Source
from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.convert import TIMES
from souk.ingest.guess_fit import becomes, few_words, misfit, tells_rows
from souk.ingest.guess_names import NAMES, kind_of, names_act, numbered
from souk.ingest.profile import DATE, MANY, Column, Guess, guess_kind, plain, sample
from souk.schema import EventType, Kind, contract

FEW_SHARED = 0.5  # ids that a column which is not named for them may have by chance
# Parts of names: of columns with ids, and of files.
STEMS = {
    "user_id": r"user|cust|visitor|member|client|buyer|kunde|nutzer|leser|reader|mitglied",
    "item_id": r"item|prod|article|artikel|movie|sku|track",
}
SPOKEN = 0.5  # more than this share of its values are words for event types where a column speaks of them


@dataclass
class Table:
    """What was found out about one file: mapped and declared columns, with the evidence of each."""

    name: str
    source: Source
    columns: list[Column]
    mapped: dict[str, tuple[Column, str]] = field(default_factory=dict)
    constants: dict[str, tuple[str, str]] = field(default_factory=dict)
    declared: dict[str, tuple[Column, Guess]] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    types: dict[str, tuple[EventType, str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)  # those of `types` that no word tells: they are taken for clicks
    next_steps: list[str] = field(default_factory=list)  # event types that only go on with an item at hand
    notes: dict[str, str] = field(default_factory=dict)  # by key of the source, why it is as it is

    def has(self, target: str) -> bool:
        """Whether a column of the file is mapped to `target`."""
        return target in self.mapped and bool(self.mapped[target][0].name)

    @property
    def free(self) -> list[Column]:
        """The columns that nothing has claimed."""
        taken = {column.name for column, _ in self.mapped.values()} | {c.name for c, _ in self.declared.values()}
        return [column for column in self.columns if column.name not in taken]


def open_table(name: str, path: str) -> Table:
    source = Source(path=path if "://" in path else os.path.abspath(path))
    columns, unread = sample(source)
    if unread:  # what is no UTF-8 is most often an export for a spreadsheet; other formats have no encoding
        other = source.model_copy(update={"encoding": "cp1252"})
        again, still = sample(other)
        source, columns = (source, columns) if still else (other, again)
    if not columns or not len(columns[0].values):
        raise SoukError(f"rows in {path}", "none", "Is it the right file?")
    return Table(name, source, columns)


def column_named(table: Table, target: str) -> Column | None:
    """The free column with the contract's own name, else with the likeliest one."""
    own = next((column for column in table.free if column.name == target), None)
    if own is not None:
        return own
    by_name = {column.plain: column for column in reversed(table.free)}
    return next((by_name[name] for name in NAMES[target] if name in by_name), None)


def map_ids(target: str, events: Table, other: Table | None) -> None:
    """The user or item id of events and of the table that describes them: by name, else by shared values."""
    named = column_named(events, target)
    if other is None:
        alike = next((c for c in events.free if not c.nested and re.search(STEMS[target], c.plain)), None)
        session = column_named(events, "session_id") if target == "user_id" else None
        ways = (
            (named, "by its name"),
            (alike, "its name contains the word"),
            (session, "there are no users: by the session"),
        )
        found = next(((column, evidence) for column, evidence in ways if column), None)
        if found is None:
            raise _no_column(events, target)
        events.mapped[target] = found
        return
    theirs = next((c for c in other.free if named and c.plain == named.plain), None) or column_named(other, target)
    strange = set() if theirs else set(NAMES["user_id" if target == "item_id" else "item_id"])
    ids = {c.plain: c for c in other.columns if not c.nested and not repeats(c) and c.plain not in strange}
    same = ids.get(named.plain) if named else None
    ours = [named] if named else [column for column in events.free if not column.nested]
    shares = [(shared(a, b), a, b) for a in ours for b in ([same] if same else ids.values())]
    share, here, there = max(shares, key=lambda each: each[0], default=(0.0, None, None))
    if theirs is not None and not theirs.nested:
        known = max((shared(a, theirs) for a in ours), default=0.0)
        if known and known >= share and repeats(theirs):
            raise _repeated(other, target, theirs)
        if named and not known and share < FEW_SHARED:
            raise _strangers(other, named, theirs)
    meant = "" if theirs else _mistaken_ids(target, events, other, list(ids.values()), share)
    if here is None or there is None or share == 0 or meant:
        raise _no_column(other if named or meant else events, target, named, meant)
    few = "ONLY " if share < FEW_SHARED else ""
    evidence = f"{few}{share:.0%} of the ids in events are among {there.name} of {other.name}"
    again = len(there.texts) - there.distinct
    more = f"; {again:,} of its {len(there.texts):,} ids repeat: they go to the quarantine" if again else ""
    events.mapped[target], other.mapped[target] = (here, evidence), (there, evidence + more)


def _mistaken_ids(target: str, events: Table, other: Table, ids: Sequence[Column], share: float) -> str:
    """What a file whose ids no name tells rather seems to be, with a space after it; "" where nothing says so.

    Args:
        target: what its ids should be.
        events: whose other ids are looked for.
        other: the file.
        ids: its columns.
        share: of the events' ids, those that one of the columns has.
    """
    swapped, meant = ("user_id", "users") if target == "item_id" else ("item_id", "items")
    named = column_named(events, swapped) or next((c for c in events.free if called(c.plain, swapped)), None)
    ours = events.mapped[swapped][0] if swapped in events.mapped else named
    if ours is None or ours.nested:
        return ""
    known = max((shared(ours, column) for column in ids), default=0.0)
    by_name = called(plain(Path(other.source.path).name), swapped)
    alone = known >= MANY and share < FEW_SHARED and not ours.numeric  # numbers meet by chance
    if known and (known >= share if by_name else alone):
        why = "by its name and its ids" if by_name else "by its ids"
        return f"It may be a file of {meant}, {why}: then give it as --{meant}. "
    return ""


def called(name: str, target: str) -> bool:
    """Whether a plain name has a part of those for `target`, a user's or an item's id, and none of the other's."""
    others = [stem for key, stem in STEMS.items() if key != target]
    return bool(re.search(STEMS[target], name)) and not any(re.search(stem, name) for stem in others)


def shared(ours: Column, theirs: Column) -> float:
    """The share of the ids of one column that another has."""
    return float(pc.mean(pc.is_in(pc.unique(ours.texts), value_set=pc.unique(theirs.texts))).as_py() or 0)


def repeats(column: Column) -> bool:
    return column.distinct <= MANY * len(column.texts)


def map_time(table: Table) -> None:
    timed = [column for column in table.free if column.time_unit]
    named = column_named(table, "timestamp")
    found = named if named in timed else next(iter(timed), None)
    if found is None:
        dated = named or next((column for column in table.free if column.like(DATE) >= MANY), None)
        received = f"{dated.name} with values such as {dated.examples}" if dated else "no column with times"
        raise SoukError(
            f"the time of an event in {table.source.path}",
            received,
            "Give times as 2024-05-31 or 2024-05-31T12:00:00Z, or as seconds, milliseconds or microseconds since 1970.",
        )
    unit = found.time_unit
    table.mapped["timestamp"] = found, "dates already" if unit == "native" else f"{unit}: {found.examples}"
    if unit != "native":
        table.source = table.source.model_copy(update={"timestamp_unit": unit})


def _tells_type(table: Table, column: Column) -> str:
    """Why a column of events may say what the user did, which no request knows before; "" where it does not."""
    values = pc.unique(column.texts).to_pylist()
    spoken = sum(kind_of(text) is not None for text in values) > SPOKEN * len(values)
    unless = f"such as {column.examples}; declare it if a request has it"
    if spoken or names_act(column.snake, column.plain):
        return f"SEEMS TO SAY WHAT THE USER DID, which would give the answer away, {unless}"
    if "event_type" in table.constants and few_words(column):
        return f"MAY SAY WHAT THE USER DID, {unless}"
    return ""


def map_rest(table: Table) -> None:
    """The optional contract columns that names give away and whose values can be read."""
    known = contract(table.name)
    unfit: dict[str, str] = {}
    for target in [name for name in known if name not in table.mapped and name not in table.constants]:
        column = column_named(table, target)
        if column is None:
            continue
        why = misfit(known[target], column, _unit(table))
        if why:
            unfit[column.name] = f"{column.name} of the file is no {target}: {why}"
            continue
        if target in TIMES and column.time_unit != "native":
            table.source = table.source.model_copy(update={"timestamp_unit": column.time_unit})
        table.mapped[target] = column, f"by its name; such as {column.examples}"
    for column in table.free:
        if column.name in known and column.name not in table.mapped:  # it would be read for its name alone
            why = unfit.get(column.name) or f"{column.name} of the file is something else"
            table.mapped[column.name] = Column("", column.values), guess_kind(column).evidence if column.comma else why


def _unit(table: Table) -> str:
    """Of the times of a table that are known; "" where there are none yet, or they are dates already."""
    dated = [column for target, (column, _) in table.mapped.items() if target in TIMES and column.name]
    return table.source.timestamp_unit if any(column.time_unit != "native" for column in dated) else ""


def declare(table: Table) -> None:
    """A kind for every column to learn from."""
    known = contract(table.name)
    for target, (column, _) in table.mapped.items():
        kind = known[target].kind
        if kind and column.name:
            guess = guess_kind(column)
            if kind is Kind.PATH and guess.kind is not Kind.PATH:
                guess = Guess(kind, guess.evidence)
            table.declared[target] = column, Guess(kind, guess.evidence, guess.separator if kind is Kind.PATH else "")
    for column in table.free:
        end = table.mapped.get("available_until", (None, ""))[0]
        fate = becomes(column, end, table.has("created_at")) if table.name == "items" else ""
        if fate:
            table.left_out.append((column.name, fate))
            continue
        guess = guess_kind(column) if table.name != "events" else _guess_context(table, column)
        if guess.kind is None:
            table.left_out.append((column.name, guess.evidence))
            continue
        own = column.snake if column.snake not in known else f"{column.snake}_column"
        target = numbered(own, table.declared)
        if target != own:
            other = table.declared[own][0].name
            guess = replace(guess, evidence=f"ITS NAME IS THAT OF {other} IN SMALL LETTERS: numbered; {guess.evidence}")
        table.declared[target] = column, guess
        if target != column.name:
            table.mapped[target] = column, guess.evidence


def _guess_context(table: Table, column: Column) -> Guess:
    """A column of events can be learned from where a request has it too: words that depend on neither id."""
    guess = guess_kind(column)
    if guess.kind is not Kind.CATEGORICAL or column.numeric or column.distinct > 1000:
        doubt = "OR IS IT event_id? Then map it; " if tells_rows(column) and not table.has("event_id") else ""
        return Guess(None, f"{doubt}no context of a request; {guess.evidence}")
    if why := _tells_type(table, column):
        return Guess(None, why)
    values = cells.parse_text(column.values)[0].to_pandas()
    for target, word in (("item_id", "item"), ("user_id", "user")):
        ids = cells.parse_text(table.mapped[target][0].values)[0].to_pandas()
        pairs = pd.DataFrame({"id": ids, "value": values}).dropna().drop_duplicates()
        if len(pairs) < 1.1 * pairs["id"].nunique():
            return Guess(None, f"describes the {word}: give it in a file of {word}s; {guess.evidence}")
    return guess


def _no_column(table: Table, target: str, ours: Column | None = None, meant: str = "") -> SoukError:
    names = ", ".join(column.name for column in table.columns)
    meant = meant or _mistaken(table)
    names += f", none with ids of events such as {ours.examples}" if ours and not meant else ""
    remedy = f"{meant}Rename the column to {target}, or write the config by hand (docs/data.md)."
    if len(table.columns) == 1 and not meant:
        remedy = "It has one column: separate them by a comma, a semicolon, a tab or |, or write the config by hand."
    return SoukError(f"a column of {table.source.path} that could be {target}", names, remedy)


def _mistaken(table: Table) -> str:
    """What a file of items or users rather seems to be, with a space after it; "" where nothing tells."""
    who, what = (column_named(table, target) for target in ("user_id", "item_id"))
    if table.name == "events":
        return ""
    if who and what:
        timed = any(column.time_unit for column in table.columns)
        meant = f"leave --{table.name} out, or give the file of {table.name}"
        return f"With {who.name} and {what.name} it may be a file of events: then {meant}. " if timed else ""
    others = [(name, column) for name, column in (("users", who), ("items", what)) if column and name != table.name]
    return "".join(
        f"With {column.name} it may be a file of {name}: then give it as --{name}. " for name, column in others
    )


def _repeated(table: Table, target: str, column: Column) -> SoukError:
    rows = len(column.texts)
    received = f"{column.name}, in which {rows - column.distinct:,} of {rows:,} repeat"
    keep = f"Keep one row of each, or write the config by hand with data.{table.name}.repeated_ids (docs/data.md)."
    remedy = _mistaken(table) + keep
    return SoukError(f"ids in {table.source.path} that stand in one row each, for {target}", received, remedy)


def _strangers(table: Table, ours: Column, theirs: Column) -> SoukError:
    received = f"none of the {ours.distinct:,} in {ours.name} ({ours.examples}) is in {theirs.name} ({theirs.examples})"
    remedy = "Write the ids of both alike, or write the config by hand (docs/data.md)."
    return SoukError(f"ids of events in {table.source.path}", received, remedy)
