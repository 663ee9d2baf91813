"""Items and events that come outside of a run of `ingest`: the same conversion and the same checks, row by row."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import Source
from souk.errors import SoukError, unknown
from souk.ingest.checks import LARGEST, check_early, check_future, check_schema, closed_domains, ranges
from souk.ingest.convert import TIMES, convert
from souk.ingest.faults import EXPECTED, TIME, Fault, Reason
from souk.ingest.mapping import TableSource
from souk.ingest.meant import MOST_VALUES, finer_clock, listed, nearest_of, number_of, own_clock, together
from souk.ingest.outliers import Limits, treat_outliers
from souk.ingest.patterns import rename
from souk.ingest.schemas import contract_schema, read_schema
from souk.readers.json_lines import json_batch
from souk.schema import Kind, contract
from souk.values import SHOWN, in_quotes, quoted

LONGEST_ID = 512  # characters, as in a request
MOST_ENTRIES = 10_000  # of a list or a vector
NO_ID = "Files need none; here, give each event an id of its own: one that is sent again counts once."


class RowCheck:
    """Checks rows as `ingest` does: types, the contract, and the schema of a release.

    Args:
        table: "items" or "events".
        kinds: its declared columns.
        widths: of declared vectors, by column.
        schema: the text of the release's `schema/<table>.pbtxt`; "" where it has none.
        names: columns that the config maps or makes of others, with the files' names of these, which no row here has.
        bounds: by column `[low, high, action]`, of `souk.ingest.outliers.Limits`.
    """

    def __init__(
        self,
        table: str,
        kinds: Mapping[str, Kind],
        widths: Mapping[str, int],
        schema: str = "",
        names: Mapping[str, Sequence[str]] = MappingProxyType({}),
        bounds: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> None:
        self._names, self._limits = names, Limits(bounds)
        self._table = TableSource(table, Source(path=table, format="jsonl"), kinds)
        self._columns = self._table.schema
        self._schemas = [contract_schema(table, kinds, widths)]
        if schema:
            self._schemas.append(read_schema(table, schema, kinds, f"schema/{table}.pbtxt of the release"))
        self._ranges, self._allowed = ranges(self._schemas), dict[str, list[str]]()
        for closed in map(closed_domains, self._schemas):
            for name, values in closed.items():
                self._allowed[name] = [v for v in self._allowed.get(name, values) if v in values]

    def _checked(self, rows: Sequence[Any], refused: dict[int, str]) -> tuple[pa.Table, list[Fault]]:
        """The typed rows and all their faults; what has no text even, as deeply nested as it is, is `refused`. Of a row
        that is so already nothing is read: it may hold any number of names, or a text that takes minutes."""
        texts = []
        for at, row in enumerate(rows):
            try:
                texts.append(b"{}" if at in refused else json.dumps(row).encode())
            except RecursionError:
                refused.setdefault(at, str(SoukError("a flat row", "one that is nested deeply", "See docs/data.md.")))
                texts.append(b"{}")
        table, faults = convert(self._table, json_batch(self._table.name, texts, 1), alone=True)
        unread: dict[str, np.ndarray] = {}
        for each in faults:
            unread.setdefault(each.column, np.zeros(len(rows), bool))[each.rows] = True
        for schema in self._schemas:
            faults += check_schema(table, schema, unread)
        table, outside, _ = treat_outliers(table, np.ones(len(rows), bool), self._limits.bounds)
        return table, faults + outside

    def _misnamed(self, row: Any, ids: Sequence[str]) -> str:
        """Why the names in a row, or its ids, are wrong; "" where they are not."""
        if not isinstance(row, dict):
            return ""
        for name in row:
            if name not in self._columns.names:
                return str(self._unknown(str(name), row))
        for name in ids:
            value = row.get(name)
            if isinstance(value, list | dict | bool) or len(str(value)) > LONGEST_ID:
                remedy = "Shorten it." if isinstance(value, str) else in_quotes(value)
                return str(SoukError(f"{name} to be a text of 1 to {LONGEST_ID} characters", quoted(value), remedy))
        for name, value in row.items():
            kind = self._columns.field(name).type
            if isinstance(value, list | dict) and kind == pa.string():  # a file of lines has it as the text of its JSON
                return self._reason(Fault(Reason.TYPE, name, np.zeros(1, np.int64)), row)
            if pa.types.is_list(kind) and isinstance(value, list | str) and len(value) > MOST_ENTRIES:
                expected = f"{name} of at most {MOST_ENTRIES:,} entries, or characters where it is a text"
                return str(SoukError(expected, f"{len(value):,}", "Shorten it."))
        return ""

    def _unknown(self, name: str, row: Mapping[str, Any]) -> SoukError:
        """The error for a name in a row; one of the files' names is told with those that all of them stand for."""
        known = self._columns.names
        raws = [(own, raw) for own, raws in self._names.items() for raw in dict.fromkeys(raws)]
        lacking = {field for field, column in contract(self._table.name).items() if column.required} - {*row}
        meant = [(own, raw) for own, raw in raws if raw in row and (raw not in known or own in lacking)]
        if name not in (raw for _, raw in meant):
            return unknown(f"a column of {self._table.name}", name[:SHOWN], known)
        of: dict[str, list[str]] = {}
        for own, raw in meant[:MOST_VALUES]:
            of.setdefault(own, []).append(raw[:SHOWN])
        instead = ", ".join(f"{own} for {together(own, raws)}" for own, raws in of.items())
        expected = f"the names of columns of {self._table.name} that Souk gives them"
        return SoukError(expected, f"{name[:SHOWN]!r}, as the files have it", f"Send {instead}.")

    def _reason(self, fault: Fault, row: Any, meant: str = "") -> str:
        """Why a row is refused; `meant` is a remedy that the rest of the call tells."""
        kind = self._columns.field(fault.column).type if fault.column in self._columns.names else ""
        no_time = fault.reason in {"timestamp": (Reason.TYPE, Reason.RANGE)}.get(fault.column, (Reason.TYPE,))
        form = TIME if no_time and fault.column in TIMES else EXPECTED.get(fault.reason, "{column} to be right")
        allowed = self._allowed.get(fault.column, [])
        told = {"type": kind, "range": self._ranges.get(fault.column, ""), "bounds": self._limits.text(fault.column)}
        expected = form.format(row=self._table.name[:-1], column=fault.column, values=listed(allowed), **told)
        value = row.get(fault.column) if isinstance(row, dict) and fault.column else row
        received = quoted(value)
        if fault.reason is Reason.UNIT:
            return str(SoukError(expected, f"{received}, which looks like seconds", "Multiply it by 1000."))
        remedy = NO_ID if (fault.column, fault.reason) == ("event_id", Reason.MISSING) else "See docs/data.md."
        own = set(row) & {*self._names.get(fault.column, ())} if isinstance(row, dict) else ()
        if fault.reason is Reason.MISSING and own:  # as a ticket shop's event_id, which is a column here, too
            raw = min(own)
            remedy = f"The config reads {raw[:SHOWN]} of the files as {fault.column}: send it by that name."
        if form is TIME:
            remedy = number_of(value) or finer_clock(value) or remedy
        if fault.reason is Reason.DOMAIN:
            meant = meant or nearest_of(str(value), allowed)
        return str(SoukError(expected, received, meant or remedy))


class ItemCheck(RowCheck):
    """Checks items.

    Args:
        kinds: as `widths`, `schema`, `names` and `bounds`, of `RowCheck`.
        separators: by path column, what stands in the files where paths have `/`.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        widths: Mapping[str, int],
        schema: str = "",
        names: Mapping[str, Sequence[str]] = MappingProxyType({}),
        separators: Mapping[str, str] = MappingProxyType({}),
        bounds: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    ) -> None:
        super().__init__("items", kinds, widths, schema, names, bounds)
        self._separators = separators

    def check(
        self, rows: Sequence[Any], known: Collection[str], logged: bool = False
    ) -> tuple[pa.Table, dict[int, str]]:
        """The rows in the types of `items.parquet`, and by number of row why some are refused.

        Args:
            rows: decoded JSON, an object for each item.
            known: the ids of items that are there: what their rows leave out stays as it is.
            logged: whether they were taken before, perhaps by a server that took seconds for the time of a birth.
        """
        wrong = ((at, self._misnamed(row, ["item_id"]) or self._unsplit(row)) for at, row in enumerate(rows))
        refused = {at: why for at, why in wrong if why}
        table, faults = self._checked(rows, refused)
        strict = [each for each in faults if not logged or (each.reason, each.column) != (Reason.UNIT, "created_at")]
        for each in in_order(strict):
            for at in each.rows.tolist():
                if at not in refused and not _left_out(each, rows[at], known):
                    refused[at] = self._reason(each, rows[at])
        return table, refused

    def _unsplit(self, row: Any) -> str:
        """Why a path as the files write it would be one of a single part, which no item has; "" where none is."""
        for name, mark in self._separators.items():
            path = row.get(name) if isinstance(row, dict) else None
            if isinstance(path, str) and mark in path:
                meant = "/".join(part.strip() for part in path.split(mark))
                received = f"{path[:SHOWN]!r}, as the files have it"
                return str(SoukError(f"{name} with / between its parts", received, f"Send {meant[:SHOWN]}."))
        return ""


class EventCheck(RowCheck):
    """Checks events.

    Args:
        kinds: the declared columns of events.
        schema: the text of the release's `schema/events.pbtxt`; "" where it has none.
        names: as in `RowCheck`.
        types: what the files call types of events, `*` for any text, with the contract's.
        bounds: as in `RowCheck`; those that clip are not for the row, which is as it came for the next training, but
            for the state that takes it (`souk.serving.events.backlog`).
        ahead_ms: how far ahead of the clock an event may be.
        later: whether the log is of 1980 and later, so that a time of early 1970 is none.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        schema: str = "",
        names: Mapping[str, Sequence[str]] = MappingProxyType({}),
        types: Mapping[str, str] = MappingProxyType({}),
        bounds: Mapping[str, Sequence[Any]] = MappingProxyType({}),
        ahead_ms: int = 300_000,
        later: bool = False,
    ) -> None:
        super().__init__("events", kinds, {}, schema, names, Limits(bounds).refusing)
        self._types, self._ahead, self._later = types, ahead_ms, later
        self._texts = [field.name for field in self._columns if field.type == pa.string()]
        self._numbers = [field.name for field in self._columns if pa.types.is_floating(field.type)]

    def check(self, rows: Sequence[Any], now: int) -> tuple[list[dict[str, Any]], dict[int, str]]:
        """The typed rows, and why some are refused.

        Args:
            rows: decoded JSON, an object for each event.
            now: UTC epoch milliseconds.

        Returns:
            each row's columns that are not null, `{}` for a refused one; and by number of row the reason.
        """
        refused = {at: why for at, row in enumerate(rows) if (why := self._misnamed(row, self._texts))}
        table, faults = self._checked(rows, refused)
        faults += [*check_future("events", table, now + self._ahead), *(check_early(table) if self._later else ())]
        for each in in_order(faults):
            meant = self._meant(each, table, now)
            for at in each.rows.tolist():
                refused.setdefault(at, self._reason(each, rows[at], meant.get(at, "")))
        typed = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
        for at, row in enumerate(typed):
            for name in (own for own in self._numbers if abs(row.get(own, 0.0)) > LARGEST):
                expected = f"{name} of at most {LARGEST:g}"
                refused.setdefault(at, str(SoukError(expected, f"{row[name]:g}", "See docs/data.md.")))
        return [{} if at in refused else row for at, row in enumerate(typed)], refused

    def _meant(self, fault: Fault, table: pa.Table, now: int) -> dict[int, str]:
        """By number of row, what to send for a type of event that is one of the files, and what to do about a time that
        is to come; {} for another fault."""
        if fault.reason is Reason.FUTURE:
            times = table[fault.column].combine_chunks().take(pa.array(fault.rows)).to_pylist()
            told = (finer_clock(time) or own_clock(now, self._ahead) for time in times)
            return dict(zip(fault.rows.tolist(), told, strict=True))
        if (fault.column, fault.reason) != ("event_type", Reason.DOMAIN):
            return {}
        words, allowed = table["event_type"].combine_chunks().take(pa.array(fault.rows)), self._allowed["event_type"]
        named = rename(words, {word: kind for word, kind in self._types.items() if word != "*"})
        sent = {}
        for at, word, kind in zip(fault.rows.tolist(), words.to_pylist(), named.to_pylist(), strict=True):
            if kind == word and not nearest_of(word, allowed):  # "*" fits typing errors, too
                kind = self._types.get("*", word)
            if kind in allowed:
                sent[at] = f"Send {kind}: the config maps {word[:SHOWN]} to it."
        return sent


def in_order(faults: Sequence[Fault]) -> list[Fault]:
    """Faults as `Reason` orders them: the first of a row is why it is refused."""
    return sorted(faults, key=lambda fault: list(Reason).index(fault.reason))


def _left_out(fault: Fault, row: Any, known: Collection[str]) -> bool:
    """Whether a column is missing because the row of a known item does not speak of it."""
    if fault.reason is not Reason.MISSING or not isinstance(row, dict) or fault.column in row:
        return False
    return fault.column != "item_id" and str(row.get("item_id")).strip() in known
