"""Which columns of unknown files are the user, the item, the time and what else there is to learn from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from souk.config import Source
from souk.ingest.convert import ENDS, TIMES
from souk.ingest.guess.decimal import with_commas
from souk.ingest.guess.deeds import described, of_acts, tells_item
from souk.ingest.guess.fit import ends_otherwise, ends_too, in_milliseconds, misfit, one_each, tells_rows
from souk.ingest.guess.form import formed, no_rows
from souk.ingest.guess.header import FIRST, check_count, check_header
from souk.ingest.guess.kind import Guess, guess_kind
from souk.ingest.guess.later import becomes, names_next, names_others, of_user
from souk.ingest.guess.names import (
    APP_IDS,
    APPS,
    BEST,
    NAMES,
    OBJECTS,
    RATINGS,
    SELLERS,
    TITLES,
    names_rating,
    unpacked,
)
from souk.ingest.guess.own_names import own_names
from souk.ingest.guess.several import REMEDY, several
from souk.ingest.profile import MANY, Column, sample
from souk.ingest.templates import template_columns
from souk.readers import RawBatch, file_format
from souk.schema import EventType, Kind, contract

FEW_OF_ONE = 20  # values, of more than users each of which is one user's: an id of a cookie, or of a deck of cards
OF_ITEM = "describes the item: give it in a file of items, or this file as --items, too"
# Of a column that has one value for each item and one for each user.
STAYS = (
    "IF REQUESTS HAVE IT, as the place to deliver to, declare it and name it with that of the items in "
    "build_features.matches; else give it in a file of items, and one of users"
)


@dataclass
class Table:
    """What was found out about one file: mapped and declared columns, with the evidence of each."""

    name: str
    source: Source
    columns: list[Column]
    mapped: dict[str, tuple[Column, str]] = field(default_factory=dict)
    templates: dict[str, tuple[str, str]] = field(default_factory=dict)  # of a mapped column made of several, and why
    constants: dict[str, tuple[str, str]] = field(default_factory=dict)
    declared: dict[str, tuple[Column, Guess]] = field(default_factory=dict)
    starts: dict[str, str] = field(default_factory=dict)  # columns with the beginning at which items end, and why
    births: dict[str, str] = field(default_factory=dict)  # columns with the time at which items came to be, and why
    unborn: dict[str, str] = field(default_factory=dict)  # columns of items that are no `created_at`, and why
    unfit: dict[str, str] = field(default_factory=dict)  # columns that cannot be what their name says, and why
    counts: dict[str, str] = field(default_factory=dict)  # columns that tell or count other events, and why
    ends: list[Column] = field(default_factory=list)  # of items, beside the column of `available_until`
    left_out: list[tuple[str, str]] = field(default_factory=list)
    types: dict[str, tuple[EventType, str]] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)  # of a type, that which tells the same at the right times
    unknown: list[str] = field(default_factory=list)  # those of `types` that no word tells: they are taken for clicks
    next_steps: list[str] = field(default_factory=list)  # event types that only go on with an item at hand
    nobody: list[str] = field(default_factory=list)  # what stands for no user, as NA
    notes: dict[str, str] = field(default_factory=dict)  # by key of the source, why it is as it is
    listed_as: str = ""  # of events, what the file of items calls the ids of items
    drawn: int = 0  # bits that are 0 in the hashes of the ids whose rows these are (souk.ingest.guess.drawn_rows)

    def has(self, target: str) -> bool:
        """Whether a column of the file is mapped to `target`."""
        return target in self.mapped and bool(self.mapped[target][0].name)

    @property
    def free(self) -> list[Column]:
        """The columns that nothing has claimed."""
        taken = {column.name for column, _ in self.mapped.values()} | {c.name for c, _ in self.declared.values()}
        taken |= {part for text, _ in self.templates.values() for part in template_columns(text)}
        return [column for column in self.columns if column.name not in taken]


def open_table(name: str, path: str, header: Sequence[str] = ()) -> Table:
    """The first rows of a file.

    Args:
        name: events, items or users.
        path: a path or URL.
        header: the names of its columns, where it has no line of them; `first` where it has one after all.

    Raises:
        SoukError: a file that cannot be read, is empty, or has no names.
    """

    formats = set[str]()

    def look(batch: RawBatch) -> None:
        formats.add(file_format(source, batch.file))
        if named or file_format(source, batch.file) != "csv":
            check_count(name, header, batch)
        else:
            check_header(name, batch)

    named, header = bool(header), () if tuple(header) == FIRST else header
    source = formed(Source(path=path if "://" in path else os.path.abspath(path), header=tuple(header)))
    columns, unread = sample(source, look)
    if unread and formats <= {
        "csv",
        "atomic",
    }:  # most often an export for a spreadsheet; other formats have no encoding
        other = source.model_copy(update={"encoding": "cp1252"})
        again, still = sample(other)
        source, columns = (source, columns) if still else (other, again)
    if not columns or not len(columns[0].values):
        raise no_rows(source)
    return table_of(name, source, columns)


def table_of(name: str, source: Source, columns: list[Column]) -> Table:
    """A table of columns, whose numbers are read with a decimal comma where they have one.

    Args:
        name: events, items or users.
        source: their files, with a decimal point.
        columns: of a sample.
    """
    columns, number = with_commas(source, columns)
    if not number:
        return Table(name, source, columns)
    notes = {"decimal": f"the numbers have a decimal comma, such as {number}"}
    return Table(name, source.model_copy(update={"decimal": ","}), columns, notes=notes)


def column_named(table: Table, target: str) -> Column | None:
    """The free column with the contract's own name, else with the likeliest one."""
    return next(columns_named(table, target), None)


def columns_named(table: Table, target: str) -> Iterator[Column]:
    """The free columns that the contract's column may go by, the likeliest first."""
    own = next((column for column in table.free if column.name == target), None)
    if own is not None:
        yield own
    by_name = {unpacked(column.snake): column for column in reversed(table.free)} if target != "event_type" else {}
    by_name |= {column.plain: column for column in reversed(table.free)}
    found = [by_name[name] for name in NAMES[target] if name in by_name and by_name[name] is not own]
    if target == "value":  # in words these are what a user wrote, and no amount either
        found = [c for c in found if c.plain not in RATINGS or (c.numeric and c.numbers.max() <= BEST)]
    yield from found
    if target == "value" and own is None and not found:
        yield from (column for column in table.free if names_rating(column.snake))
    if target == ENDS:
        yield from (column for column in table.free if column.name in table.starts and column not in found)
    if target == "created_at":
        yield from (column for column in table.free if column.name in table.births and column not in found)
    if target == "title" and own is None and not found and (title := _title(table, by_name)):
        yield title


def _title(table: Table, by_name: dict[str, Column]) -> Column | None:
    """The name of what the ids are of, as "Hotel Name" beside "Hotel Ref", before what describes it at length."""
    ids, words = table.mapped["item_id"][0].snake.split("_"), {*OBJECTS, *NAMES["item_id"]} - SELLERS
    ids += APPS if ids[0] in APP_IDS else ()  # an app's own id is that of its package: `app_name` beside package_name
    if not words.intersection(ids):  # of "store_item_id" the item is meant, of "room_id" no hotel
        words = {ids[0]} if len(ids) > 1 else {*words, ids[0]}
    parts = ((column, *column.snake.rpartition("_")[::2]) for column in table.free)
    named = {own: column for column, own, last in reversed([*parts]) if last in TITLES and own in words}
    joined = {word + last: word for word in words for last in TITLES}  # Rezeptname
    named |= {joined[column.snake]: column for column in table.free if column.snake in joined}
    own = next((named[word] for word in ids if word in named), None)
    return own or next(reversed(named.values()), by_name.get("description"))


def map_rest(table: Table) -> None:
    """The optional contract columns that names give away and whose values can be read."""
    known = contract(table.name)
    unfit: dict[str, str] = {}
    for target in [name for name in known if name not in table.mapped and name not in table.constants]:
        for column in columns_named(table, target):
            not_yet = table.unborn.get(column.name, "") if target == "created_at" else ""
            why = not_yet or misfit(known[target], column, _unit(table))
            acts = of_acts(table, column) if known[target].kind and table.name == "events" else ""
            if why or acts:
                unfit[column.name] = f"{column.name} of the file is no {target}: {why or acts}"
                if why:  # of acts a guess of its kind tells
                    table.unfit.setdefault(column.name, f"NO {target}: {why}")
                continue
            if target in TIMES and column.time_unit != "native":
                table.source = table.source.model_copy(update={"timestamp_unit": column.time_unit})
            by_events = {ENDS: table.starts, "created_at": table.births}.get(target, {})
            why = by_events.get(column.name, "by its name")
            table.mapped[target] = column, f"{why}; such as {column.examples}"
            break
    for column in table.free:
        if column.name in known and column.name not in table.mapped:  # it would be read for its name alone
            why = unfit.get(column.name) or f"{column.name} of the file is something else"
            told = guess_kind(column).evidence
            table.mapped[column.name] = Column("", column.values), told if column.comma or column.currency else why


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
    found: list[tuple[Column, Guess]] = []
    for column in table.free:
        end = table.mapped.get(ENDS, (None, ""))[0]
        if table.name == "items" and ends_too(column, end, table.starts):
            table.ends.append(column)
            continue
        fate = table.counts.get(column.name) or ("" if table.name == "events" else _fate(table, column))
        if fate:
            table.left_out.append((column.name, fate))
            continue
        guess = guess_kind(column) if table.name != "events" else _guess_context(table, column)
        if guess.kind is None:
            why = table.unfit.get(column.name, "")
            table.left_out.append((column.name, f"{why}; {guess.evidence}" if why else guess.evidence))
            continue
        found.append((column, guess))
    names = own_names(table.name, table.declared, found)
    for column, guess in found:
        target, why = names[column.name]
        guess = replace(guess, evidence=f"{why}; {guess.evidence}") if why else guess
        table.declared[target] = column, guess
        if target != column.name:
            table.mapped[target] = column, guess.evidence


def _fate(table: Table, column: Column) -> str:
    """Why a column of items or users may tell what became of them; "" where it does not."""
    ids = table.mapped["item_id" if table.name == "items" else "user_id"][0]
    if others := names_others(column, ids, table.name):
        return others
    if table.name == "users":
        return of_user(column)
    if following := names_next(column, ids):
        return following
    end = table.mapped.get(ENDS, (None, ""))[0]
    unborn = table.unborn.get(column.name, "")
    fate = becomes(column, end, bool(unborn) or table.has("created_at"))
    return ends_otherwise(column, end, table.starts) or (f"{unborn}; {fate}" if unborn and fate else fate)


def _guess_context(table: Table, column: Column) -> Guess:
    """A column of events can be learned from where a request has it too: words that depend on neither id."""
    guess = guess_kind(column)
    if guess.kind is not Kind.CATEGORICAL or column.numeric or column.distinct > 1000:
        if several(column):
            return Guess(None, f"SEVERAL IN EACH ROW: were they shown, {REMEDY}; {guess.evidence}")
        if not table.has("event_id") and tells_rows(column):
            return Guess(None, f"OR IS IT event_id? Then map it; no context of a request; {guess.evidence}")
        item = column.distinct <= MANY * len(column.values) and described(table, column) == ["item"]
        took = "" if item or column.name in table.unfit else in_milliseconds(column)
        return Guess(None, f"{took}{OF_ITEM if item else 'no context of a request'}; {guess.evidence}")
    user = table.mapped["user_id"][0]
    if column.distinct > max(user.distinct, FEW_OF_ONE) and one_each(column.values, user.values, again=True):
        return Guess(None, f"no context of a request: each value is one user's; {guess.evidence}")
    if why := of_acts(table, column):
        return Guess(None, why)
    of_ids = described(table, column)
    if len(of_ids) == 2:  # of the item alone a user would have several: both are of one place, or of one language
        return Guess(None, f"{STAYS}; {guess.evidence}")
    if of_ids:
        own = OF_ITEM if of_ids == ["item"] else "describes the user: give it in a file of users"
        return Guess(None, f"{own}; {guess.evidence}")
    if why := tells_item(table, column):
        return Guess(None, why)
    return guess
