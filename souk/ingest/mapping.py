"""Which column of a file becomes which column of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import pyarrow as pa

from souk.config import Source, template_parts
from souk.errors import SoukError, nearest, unknown
from souk.ingest.patterns import ranked
from souk.ingest.templates import OR, check_templates, template_columns
from souk.schema import Kind, contract

MOST_TYPES = 50  # that a release remembers
EACH_ITS_OWN = {"user_id", "item_id", "timestamp", "event_id"}  # columns that have no one value for all rows
ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
KIND_TYPES = {
    Kind.CATEGORICAL: pa.string(),
    Kind.NUMERIC: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.LIST: pa.list_(pa.string()),
    Kind.PATH: pa.string(),
    Kind.VECTOR: pa.list_(pa.float32()),
}


def arrow_schema(table: str, kinds: Mapping[str, Kind]) -> pa.Schema:
    """The columns of `table`: those of the contract, then the declared ones by name."""
    known = contract(table)
    columns = [(name, ARROW_TYPES[column.type]) for name, column in known.items()]
    columns += [(name, KIND_TYPES[kind]) for name, kind in sorted(kinds.items()) if name not in known]
    return pa.schema(columns)


@dataclass(frozen=True)
class TableSource:
    """A table and where it comes from.

    Args:
        name: "events", "items" or "users".
        source: its files; of path "" for a table without rows.
        kinds: its declared columns.
        log: more files of it, in the columns of the contract: what a server was sent.
    """

    name: str
    source: Source
    kinds: Mapping[str, Kind]
    log: tuple[Source, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        return arrow_schema(self.name, self.kinds)

    @property
    def parts(self) -> dict[str, list[str]]:
        """Columns made by templates, with the columns of the file that they are made of."""
        return {name: template_columns(text) for name, text in self.source.templates.items()}

    @property
    def own_names(self) -> dict[str, str]:
        """Columns of the table that the config maps, with the file's names for them."""
        return {name: raw for name, raw in self.source.columns.items() if raw}

    @property
    def own_types(self) -> dict[str, str]:
        """What the files call types of events (or patterns of that), with the contract's types.

        Of more than MOST_TYPES those that count before the others, so that what fits one of them is of its type.
        """
        types = self.source.event_types
        return {word: str(types[word]) for word in ranked(types)[-MOST_TYPES:]}

    @property
    def path_separators(self) -> dict[str, str]:
        """By path column, what stands in the files where paths have `/`."""
        given = self.source.separators.items()
        return {name: mark for name, mark in given if mark != "/" and self.kinds.get(name) is Kind.PATH}

    def origin(self, name: str) -> list[str]:
        """What the file calls a column: its name there, or those of the columns that it is made of."""
        return self.parts.get(name) or [self.source.columns.get(name, name)]

    def check_names(self) -> None:
        """Every name that the source gives must be a column of the table, and have one origin.

        Raises:
            SoukError: one is not; the nearest is named.
        """
        names = self.schema.names
        for key in ("columns", "templates", "constants", "separators"):
            for name in getattr(self.source, key):
                if name not in names:
                    raise unknown(
                        f"data.{self.name}.{key}: a contract column or one of columns.{self.name}", name, names
                    )
        ends = template_parts(self.source.templates.get("available_until", ""))
        if any(text.strip() or OR in name for text, name in ends):
            expected = f"data.{self.name}.templates.available_until to name columns, of which the earliest counts"
            remedy = "Each of them is a time of its own: leave out what stands between."
            raise SoukError(expected, repr(self.source.templates["available_until"]), remedy)
        origins: dict[str, Iterable[str]] = {
            "column": self.source.columns,
            "template": self.source.templates,
            "constant": self.source.constants,
        }
        for (one, mine), (other, others) in combinations(origins.items(), 2):
            for name in set(mine) & set(others):
                raise SoukError(f"one origin of {self.name}.{name}", f"a {one} and a {other}", "Leave one of them out.")

    def columns(self, present: Iterable[str]) -> dict[str, str]:
        """Column of the table to column of the file: as the config says, else the one of the same name.

        An `event_id` that the config reads as something else, as a ticket shop's ids of concerts, is no id of rows."""
        found, made = {}, {*self.source.constants, *self.source.templates}
        made |= {"event_id"} & set(self.source.columns.values())
        for name in self.schema.names:
            raw = self.source.columns.get(name, "" if name in made else name)
            if raw and raw in present:
                found[name] = raw
        return found

    def require(self, present: Iterable[str], file: str) -> None:
        """Nothing may be missing in `file`, which has the columns `present`, that must be there.

        Raises:
            SoukError: a required, declared or mapped column, a part of a template, or a column of `skip`.
        """
        present = list(present)
        check_templates(self.name, self.source.templates, present, file)
        self._refuse(self.lacking(present), present, file)
        for raw in self.source.skip:
            if raw not in present:
                raise unknown(f"data.{self.name}.skip to name columns of {file}", raw, present)

    def require_of_rows(self, present: Iterable[str], file: str, several: bool = False) -> None:
        """What no row may lack is among the columns `present` of a `file`, whose other columns may be elsewhere: in
        other lines, where lines name their own as in JSON, or in other files of the table, by the same names.

        Args:
            present: names of columns.
            file: that has them.
            several: whether it is one of several files.

        Raises:
            SoukError: a required column is missing, or a part of the template of one.
        """
        present, known = list(present), contract(self.name)
        required = {name for name, column in known.items() if column.required}
        made = {name: text for name, text in self.source.templates.items() if name in required}
        check_templates(self.name, made, present, file, some=True)
        lacking = {name: raw for name, raw in self.lacking(present).items() if name in required}
        self._refuse(lacking, present, file, several)

    def lacking(self, present: Iterable[str]) -> dict[str, str]:
        """Required, declared and mapped columns that none of those `present` makes, with their names in the file."""
        required = {name for name, column in contract(self.name).items() if column.required} - {"event_id"}
        made = {*self.columns(present), *self.source.constants, *self.source.templates}
        asked = sorted((required | set(self.kinds) | set(self.source.columns)) - made)
        return {name: raw for name in asked if (raw := self.source.columns.get(name, name))}

    def absent(self, present: Iterable[str]) -> list[str]:
        """The columns of files that `require` asks for and that are none of those `present`, by their names there."""
        present, parts = set(present), (part for parts in self.parts.values() for part in parts)
        asked = dict.fromkeys((*self.lacking(present).values(), *parts, *self.source.skip))
        return [raw for raw in asked if raw not in present]

    def _refuse(self, lacking: Mapping[str, str], present: list[str], file: str, several: bool = False) -> None:
        for name, raw in lacking.items():
            if several:  # a mapping is for all of them
                own = sorted(set(lacking.values()))
                remedy = f"A column has one name in all files of a table: in this one, rename what is {', '.join(own)}."
                other = "Where it holds something else, as changes of prices, leave it out of the folder."
                remedy = f"{remedy} {nearest(raw, present) or other}"
                raise SoukError(f"{raw} for {self.name}.{name} in {file}, too", ", ".join(sorted(present)), remedy)
            error = unknown(f"a column for {self.name}.{name} in {file}", raw, present)
            constant = "" if name in EACH_ITS_OWN else f", or give data.{self.name}.constants.{name}"
            where = f"Map it in data.{self.name}.columns{constant}."
            alone = " The file has one column: look at its `delimiter`." if len(present) == 1 else ""
            raise SoukError(error.expected, error.received, f"{error.remedy} {where}{alone}")

    def ignored(self, present: Iterable[str]) -> list[str]:
        """The columns of the files that nothing asks for."""
        parts = {part for parts in self.parts.values() for part in parts}
        return sorted({*present} - {*self.columns(present).values(), *parts, *self.source.skip, ""})

    def makes_ids(self, present: Iterable[str]) -> bool:
        """Whether events have no ids of their own."""
        given = {*self.columns(present), *self.source.templates, *self.source.constants}
        return self.name == "events" and "event_id" not in given
