"""What the rows of a file say of items for a running server, by the config's names.

A server keeps what a row leaves out, and `null` clears it, so a row has nothing of what the file does not name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from souk.config import Source, template_parts
from souk.errors import SoukError
from souk.ingest.cells import TRUE
from souk.ingest.convert import ENDS, convert
from souk.ingest.faults import Fault, Reason
from souk.ingest.mapping import TableSource
from souk.ingest.templates import OR, check_templates, template_columns
from souk.readers import RawBatch
from souk.schema import Kind

SHOWN = 80  # characters of a cell in an error
IN_UTF_8 = "Set data.items.encoding to latin-1 for a CSV, or to what it is in, else write the file in UTF-8."
Line = dict[str, Any]  # what a line of JSON has


@dataclass(frozen=True)
class Unsent:
    """A row that a server is not to be sent, and why: it would take it for another one."""

    row: Mapping[str, Any]
    why: str


def mapped(batch: RawBatch, lines: list[Line], source: Source, kinds: Mapping[str, Kind]) -> list[Any]:
    """The rows of a batch by the config's names. A cell that cannot be read stays as it is: the server says what is
    wrong with it.

    Args:
        batch: some rows of the file.
        lines: what each of them has, of lines of JSON; empty of another format.
        source: `data.items` of the config.
        kinds: the declared columns.

    Raises:
        SoukError: the file lacks the id, or a part of what a template makes.
    """
    names = batch.table.column_names
    table = TableSource("items", _of(source, names), kinds)
    made, found = table.source.templates, table.columns(names)
    if batch.lines is None:
        check_templates("items", {n: text for n, text in made.items() if n != ENDS}, names, batch.file, some=True)
    given = [n for n in table.schema.names if n in {*found, *table.source.constants, *made}]
    table = TableSource("items", table.source, {n: kind for n, kind in kinds.items() if n in given})
    typed, faults = convert(table, batch)
    rows: list[Any] = typed.select(given).to_pylist()
    origins = {**{name: [raw] for name, raw in found.items()}, **table.parts}
    for each in faults:
        _spoil(rows, each, batch, origins.get(each.column, []))
    for at, row in enumerate(rows):
        if at not in batch.malformed and isinstance(row, dict):
            row = _said(row, lines[at], table, found) if lines else row
            rows[at] = _without_open_end(row, lines[at] if lines else names, source)
    return rows


def no_utf_8(row: Any, column: str, cell: Any, remedy: str) -> Unsent:
    """A row with a cell, or a line (column ""), that is not UTF-8: with marks for these bytes it would be taken."""
    return Unsent(row, str(SoukError(f"UTF-8 in {column or 'a line'}", f"{str(cell)[:SHOWN]!r}", remedy)))


def _of(source: Source, names: Collection[str]) -> Source:
    """The source of a file with columns of these `names`, without what others make. Ids are asked of every file."""
    columns = {n: raw if raw in names or n == "item_id" else "" for n, raw in source.columns.items()}
    parts = {n: template_columns(text) for n, text in source.templates.items()}
    templates = {n: source.templates[n] for n in parts if n == "item_id" or {*parts[n]} & {*names}}
    if ENDS in templates:
        templates[ENDS] = " ".join(f"{{{part}}}" for part in parts[ENDS] if part in names)
    constants = dict(source.constants)
    if str(constants.get("available")).lower() in TRUE:  # which a new item is anyhow; a known one may be hidden
        del constants["available"]
    return source.model_copy(update={"columns": columns, "templates": templates, "constants": constants, "skip": {}})


def _spoil(rows: list[Any], wrong: Fault, batch: RawBatch, raws: list[str]) -> None:
    """Puts the cells as they came in the place of what could not be read."""
    for at in wrong.rows.tolist():
        if at in batch.malformed or not isinstance(rows[at], dict):
            continue
        there = [raw for raw in raws if raw in batch.table.column_names]
        cells = [cell for raw in there if (cell := batch.table[raw][at].as_py()) is not None]
        raw = cells[0] if len(raws) == 1 and cells else " ".join(str(cell) for cell in cells) or None
        if wrong.reason is Reason.ENCODING:
            text = raw if wrong.column else batch.lines[at].as_py() if batch.lines is not None else raw
            rows[at] = no_utf_8(rows[at], " and ".join(raws), text, IN_UTF_8)
        else:
            rows[at] = {**rows[at], wrong.column: raw}


def _said(row: Line, line: Line, table: TableSource, found: Mapping[str, str]) -> Line | Unsent:
    """What a line of JSON speaks of, of all that the lines of its batch do."""
    for name, text in table.source.templates.items():
        there = {part: any(raw in line for raw in part.split(OR)) for _, part in template_parts(text) if part}
        if name != ENDS and any(there.values()) and not all(there.values()):
            without = "a line without " + ", ".join(part for part in there if not there[part])
            remedy = "Write null for what the item has not."
            return Unsent(row, str(SoukError(f"all parts of data.items.templates.{name}", without, remedy)))
    said = {name for name, raw in found.items() if raw in line} | {*table.source.constants}
    said |= {name for name, raws in table.parts.items() if any(raw in line for raw in raws)}
    texts = {name: line.get(raw) for name, raw in found.items() if table.schema.field(name).type == pa.string()}
    nested = {name: value for name, value in texts.items() if isinstance(value, list | dict)}  # the server refuses them
    return {name: value for name, value in {**row, **nested}.items() if name in said}


def _without_open_end(row: Any, names: Collection[str], source: Source) -> Any:
    """The row, without an end where it has none and does not name all columns that ends may be in."""
    ends = template_columns(source.templates.get(ENDS, ""))
    if isinstance(row, Unsent) or row.get(ENDS) is not None or {*ends} <= {*names}:
        return row
    return {name: value for name, value in row.items() if name != ENDS}
