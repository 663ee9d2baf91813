"""The sections of the config that say what the data is: where the tables are, and which columns to learn from."""

from __future__ import annotations

import codecs
import difflib
import re
from string import Formatter
from types import NoneType
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from souk.config.text import composed
from souk.errors import SoukError
from souk.schema import EventType, Kind, contract

SPLIT = (Kind.LIST, Kind.PATH, Kind.VECTOR)  # kinds of which a cell has several entries
VECTOR = re.compile(r"^vector\[(.*)\]$")
WIDEST = 16_384  # numbers of a vector column
OFFSET = re.compile(r"(UTC|GMT)?[+-][0-9]{1,2}(:?[0-9]{2})?")
COLUMN = re.compile(r"[A-Za-z0-9_]+")  # what TensorFlow takes for the name of a parameter
NO_NUMBER = "a number{others}, and true and false are none"


MILVUS = r"(https?|tcp|unix)://\S+"
MILVUS_WORDS = "the address of a Milvus server, with http://, https://, tcp:// or unix:// before it"


def spelled(pattern: str, words: str) -> AfterValidator:
    """For an annotation: a text that as a whole matches `pattern`; of another one, `words` say what was expected."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise PydanticCustomError("spelling", "{words}", {"words": words})
        return value

    return AfterValidator(check)


def template_parts(text: str) -> list[tuple[str, str]]:
    """The parts of a template, "{a}, {b}": pairs of a text and the column after it, "" after the last text.

    Raises:
        ValueError: braces that do not match, or that hold more than a name. "{{" and "}}" are braces of the text.
    """
    parts: list[tuple[str, str]] = []
    held = ""  # a text that a doubled brace ends
    for before, name, form, conversion in Formatter().parse(text):
        if name == "" or form or conversion:
            raise ValueError(f"{text!r}: braces hold the name of a column and nothing else")
        held += before
        if name:
            parts.append((held, name))
            held = ""
    return [*parts, (held, "")] if held else parts


class Section(BaseModel):
    """A part of the config: immutable, and an unknown key is an error, as is a truth value in the place of a number, or
    a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_that_are_none(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts with truth values: `habits: true` would be one habit, and `latency: false` the latency 0."""
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if kinds & {int, float} and bool not in kinds and _has_truth(value):
            others = sorted(kind for kind in kinds if isinstance(kind, str)) + ["null"] * (NoneType in kinds)
            raise PydanticCustomError("truth_value", NO_NUMBER, {"others": "".join(f" or {each}" for each in others)})
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    return {annotation}.union(*map(_kinds, get_args(annotation))) if get_args(annotation) else {annotation}


def _has_truth(value: Any) -> bool:
    """Whether a truth value stands in a value, or in one of its entries."""
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, bool) or any(map(_has_truth, entries))


def _cells(value: Any) -> list[str]:
    """What cells have where YAML has `value`: 0 and 0.0 are "0" in JSON and Parquet, and "0.0" in many a CSV."""
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    ways = (str(value), str(int(value)), f"{int(value)}.0") if whole else ("" if value is None else str(value),)
    return [*dict.fromkeys(ways)]


class Source(Section):
    """Where a table is, and how its columns become those of the contract.

    `path` is a local path (relative to the config file), an fsspec URL, or `package://DISTRIBUTION/FILE` for a file
    inside an installed Python package. `columns` maps contract or declared names to the names in the file;
    `templates` makes a column of several of the file; `constants` gives columns that the file lacks one value;
    `separators` splits text into lists; `event_types` maps what the file calls the kinds of events to those of the
    contract. `skip` names the values (of columns of the file) whose rows are left out and counted; `repeated_ids` says
    which row of an id counts. `delimiter`, `encoding` and `header` describe text files; `decimal` is
    the mark in the numbers of a CSV, and `dwell_unit` that of the file's `dwell_seconds`.
    """

    path: str
    format: Literal["auto", "parquet", "csv", "jsonl", "atomic"] = "auto"
    delimiter: str = ""
    encoding: str = "utf-8"
    header: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    templates: dict[str, str] = {}
    constants: dict[str, str | int | float | bool] = {}
    separators: dict[str, str] = {}
    event_types: dict[str, EventType] = {}
    decimal: Literal[".", ","] = "."
    dwell_unit: Literal["s", "ms"] = "s"
    timestamp_unit: Literal["ms", "s", "us", "iso", "mdy", "dmy"] = "ms"
    timezone: str = "UTC"
    skip: dict[str, tuple[str, ...]] = {}
    repeated_ids: Literal["quarantine", "first", "last"] = "quarantine"

    @field_validator("skip", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        """One value may stand without a list, and numbers and truth values without quotes."""
        if not isinstance(value, dict):
            return value
        lists = {name: each if isinstance(each, list | tuple) else [each] for name, each in value.items()}
        return {name: [text for v in each for text in _cells(v)] for name, each in lists.items()}

    @field_validator("columns", "templates")
    @classmethod
    def _composed_names(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: composed(of_the_file) for name, of_the_file in value.items()}

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
            if name in ("utf-8", "utf-8-sig"):  # with and without a mark both are read
                return "utf-8"
            plain = "\n,".encode(value) == b"\n,"
        except LookupError as error:
            raise ValueError(f"{value!r} is no encoding that Python knows; latin-1 or cp1252 for instance") from error
        if not plain:
            raise ValueError(f"{value} does not write a line end as one byte; rewrite the file as UTF-8")
        return value

    @field_validator("delimiter")
    @classmethod
    def _usable_delimiter(cls, value: str) -> str:
        if set(value) & {"\r", "\n"} or (len(value) == 1 and (not value.isascii() or value == '"')):
            raise ValueError(f"{value!r} cannot delimit: give an ASCII character but no quote, or several characters")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            if OFFSET.fullmatch(value):
                ahead = "Etc/GMT-2 is two hours ahead of UTC, all year"
                raise ValueError(f"{value!r} is no time zone: name one, as Europe/Berlin; {ahead}") from error
            near = difflib.get_close_matches(value, available_timezones(), n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{value!r} is no time zone, Europe/London for instance{hint}") from error
        return value

    @field_validator("templates")
    @classmethod
    def _readable_templates(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not any(part for _, part in template_parts(text)):
                raise ValueError(f'{name}: {text!r} names no column in braces, as "{{basket}}-{{product}}" does')
        return value


class Data(Section):
    """The three tables; relative paths start at `folder`, which is itself relative to the config file.

    `obtain` is the command or the address that gets the files: an error about missing ones ends with it. `event_log` is
    the folder of the events that a server was sent, more events in the columns of the contract.
    """

    folder: str = ""
    obtain: str = ""
    events: Source
    event_log: str = ""
    items: Source | None = None
    users: Source | None = None

    def check_separators(self, columns: Columns) -> None:
        """A separator is of a column that is split: it would be passed over in another one.

        Raises:
            SoukError: it is not. A name that is no column of the table is refused where the table is read.
        """
        for table, source in (("events", self.events), ("items", self.items), ("users", self.users)):
            kinds, known = getattr(columns, table), contract(table)
            for name in source.separators if source else ():
                kind = kinds.get(name) or (known[name].kind if name in known else None)
                if kind in SPLIT or name not in {*kinds, *known}:
                    continue
                remedy = f"Take it out of separators: a cell of {name} is one value."
                if name not in known:
                    remedy = f"Declare it in columns.{table} as {name}: list if a cell holds several, else take it out."
                expected = f"a column of the kind list, path or vector in data.{table}.separators"
                raise SoukError(expected, f"{name}, of kind {kind}" if kind else name, remedy)


class Columns(Section):
    """The columns to learn from, with their kinds. Contract columns may be declared with the kind of the contract.

    A `vector[W]` of W numbers may describe items and users; `widths` keeps its W by `table.column`.
    """

    events: dict[str, Kind] = {}
    items: dict[str, Kind] = {}
    users: dict[str, Kind] = {}
    widths: dict[str, int] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_widths(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values, widths = dict(values), dict(values.get("widths") or {})
        for table in ("events", "items", "users"):
            kinds = values.get(table)
            for name, kind in kinds.items() if isinstance(kinds, dict) else ():
                found = VECTOR.match(str(kind))
                if found:
                    if not re.fullmatch("[1-9][0-9]{0,5}", found[1]) or int(found[1]) > WIDEST:
                        raise ValueError(f"columns.{table}.{name}: {kind} is none of vector[1] to vector[{WIDEST}]")
                    widths[f"{table}.{name}"] = int(found[1])
                    values[table] = {**values[table], name: str(Kind.VECTOR)}
        return values | {"widths": widths}

    def widths_of(self, table: str) -> dict[str, int]:
        """The width of each vector column of `table`."""
        return {key.split(".", 1)[1]: width for key, width in self.widths.items() if key.startswith(f"{table}.")}

    @property
    def cappable(self) -> list[str]:
        """The columns of items that `rerank.caps` may name: those of which an item has one value."""
        return [name for name, kind in self.items.items() if kind in (Kind.CATEGORICAL, Kind.PATH)]

    @model_validator(mode="after")
    def _vectors_have_widths(self) -> Columns:
        for table in ("events", "items", "users"):
            for name, kind in getattr(self, table).items():
                if table == "events" and kind in (Kind.VECTOR, Kind.TEXT, Kind.PATH):
                    raise ValueError(f"columns.events.{name}: a {kind} describes an item or a user, not an event")
                if kind is Kind.VECTOR and f"{table}.{name}" not in self.widths:
                    raise ValueError(f"columns.{table}.{name} must say its width, for instance vector[512]")
        return self

    @model_validator(mode="after")
    def _names_of_parameters(self) -> Columns:
        for table in ("events", "items", "users"):
            for name in getattr(self, table):
                if not COLUMN.fullmatch(name):
                    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name)
                    remedy = f"name it {plain}, for instance, and map it: data.{table}.columns: {{{plain}: {name!r}}}"
                    raise ValueError(
                        f"columns.{table}.{name} has more than letters from A to Z, digits and _; {remedy}"
                    )
        return self

    @model_validator(mode="after")
    def _known_kinds(self) -> Columns:
        for table in ("events", "items", "users"):
            known = contract(table)
            for name, kind in getattr(self, table).items():
                if name in known and known[name].kind != kind:
                    wanted = known[name].kind or "no feature (leave it out of columns)"
                    raise ValueError(f"columns.{table}.{name} must be {wanted}, not {kind}")
        return self
