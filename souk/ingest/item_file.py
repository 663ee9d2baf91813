"""A file of items as rows for a running server, in any format of the readers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from souk.config import DatasetConfig, Source
from souk.errors import SoukError
from souk.ingest.convert import check_names
from souk.ingest.item_columns import Line, Unsent, mapped, no_utf_8
from souk.ingest.item_row import ItemRow
from souk.ingest.mapping import TableSource
from souk.ingest.notices import unused
from souk.ingest.patterns import fits_skip
from souk.readers import FORMATS, HERE, RawBatch, ending, file_format, find_files, named, read_batches

DEEPEST = 100  # levels of lists and objects in a row; the JSON of a server ends at some 1,000
OF_TEXT: dict[str, Any] = {"delimiter": "", "encoding": "utf-8", "header": ()}  # as of all but delimited text
NAMES = "Say which column is which: --config, with data.items.columns."
FEW = 10  # rows of items that a file has already, which any file may have
AGAIN = "Nothing was sent: is it one of events? Else keep one row of each, or set data.items.repeated_ids to last."
LAST = (
    "the last row counts here; a run takes the first and refuses the others, unless data.items.repeated_ids says which"
)
IN_UTF_8 = "Write the file in UTF-8, or name the encoding of a CSV in data.items of a --config."


def item_rows_of(path: str, config: DatasetConfig | None) -> Iterator[ItemRow]:
    """Rows of items in the order of the file.

    Args:
        path: Parquet, CSV or JSON lines.
        config: says which column of the file is which (`data.items`); what the file, or a line of JSON, lacks is left
            out. None for a file with Souk's own names.

    Raises:
        SoukError: a file that cannot be read.
    """
    source, seen = _source(path, config), set[str]()
    for batch in read_batches(source, HERE):
        for row in _rows_of(batch, source, config):
            if source.repeated_ids == "first" and (item := _told_item(row)):
                yield replace(row, skipped="repeated_ids") if item in seen else row
                seen.add(item)
            else:
                yield row


def survey(path: str, config: DatasetConfig) -> tuple[str, ...]:
    """What a reader should know of a file before it is sent: the columns that nothing reads, and rows of an item that
    a run would refuse. Of each file it keeps the ids alone.

    Raises:
        SoukError: a file that cannot be read, or that names many items again, as one of events does.
    """
    source, names, repeated = _source(path, config), set[str](), 0
    most = config.ingest.quarantine_threshold if source.repeated_ids == "quarantine" else 1.0
    for file, batches in groupby(read_batches(source, HERE), lambda batch: batch.file):
        ids, rows = set[str](), 0
        for batch in batches:
            names |= {*batch.table.column_names}
            named = [item for row in _rows_of(batch, source, config) if (item := _told_item(row))]
            ids.update(named)
            rows += len(named)
        again = rows - len(ids)
        if again > max(FEW, most * rows):
            expected = f"a file of items, with at most {most:.1%} of its rows of an item that it has already"
            raise SoukError(expected, f"{file}, with {again:,} of {rows:,}", AGAIN)
        repeated += again
    told = tuple(unused(TableSource("items", source, config.columns.items), names))
    return (
        (*told, f"Rows of an item that the file has already: {repeated:,}; {LAST}")
        if repeated and source.repeated_ids == "quarantine"
        else told
    )


def _rows_of(batch: RawBatch, source: Source, config: DatasetConfig | None) -> Iterator[ItemRow]:
    check_names(batch)
    lines = _lines(batch)
    values = _as_they_are(batch, lines) if config is None else mapped(batch, lines, source, config.columns.items)
    skipped = _skipped(batch, lines, source)
    file = batch.file if batch.others else ""
    for at in np.argsort(batch.positions, kind="stable").tolist():  # those that are malformed come last in a batch
        row = item_row(batch.malformed.get(at, values[at]), int(batch.positions[at]), file)
        torn = at in batch.malformed and batch.lines is None
        yield replace(row, wrong="" if at in skipped else row.wrong, skipped=skipped.get(at, ""), torn=torn)


def _told_item(row: ItemRow) -> str:
    """The item of a row that is sent; "" of another."""
    return "" if row.wrong or row.skipped or row.item is None else str(row.item).strip()


def item_row(value: Any, number: int = 1, file: str = "") -> ItemRow:
    """A row, its value as JSON has it."""
    row, wrong = (value.row, value.why) if isinstance(value, Unsent) else (value, "")
    try:
        return ItemRow(_plain(row), number, file, wrong)
    except SoukError as error:
        named_by = {"item_id": str(row.get("item_id"))} if isinstance(row, dict) else None
        return ItemRow(named_by, number, file, wrong or str(error))


def _source(path: str, config: DatasetConfig | None) -> Source:
    """How the file is read: as that of the config, where its name ends alike or tells nothing."""
    known = config.data.items if config and config.data.items else Source(path=path)
    names = [file.name for file in find_files(path, HERE)]
    alike = all(ending(name) == ending(known.path) or ending(name) not in FORMATS for name in names)
    source = known.model_copy(update={"path": path} if alike else {"path": path, "format": "auto"})
    kinds = {file_format(source, name) for name in names}
    return source if kinds & {"csv", "atomic"} else source.model_copy(update=OF_TEXT)


def _lines(batch: RawBatch) -> list[Line]:
    """What each line of JSON has, by the names of the batch's columns; nothing of another format."""
    texts = batch.lines.to_pylist() if batch.lines is not None else []
    return [{} if at in batch.malformed else named(json.loads(text)) for at, text in enumerate(texts)]


def _as_they_are(batch: RawBatch, lines: list[Line]) -> list[Any]:
    """The columns by the names of the file; the server reads their values."""
    if batch.lines is None and "item_id" not in batch.table.column_names:
        received = ", ".join(batch.table.column_names) or "no columns"
        raise SoukError(f"a column item_id in {batch.file}", received, NAMES)
    rows: list[Any] = [*lines] or batch.table.to_pylist()
    for at, name in batch.undecodable:
        row = rows[at]
        if not isinstance(row, Unsent):
            rows[at] = no_utf_8(row, name, row.get(name) if name else batch.originals(np.array([at]))[0], IN_UTF_8)
    return rows


def _skipped(batch: RawBatch, lines: list[Line], source: Source) -> dict[int, str]:
    """The rows that the config leaves out, with the rule; of a column that a row has not, nothing."""
    found: dict[int, str] = {}
    for name in (name for name in source.skip if name in batch.table.column_names):
        cells = batch.table[name].combine_chunks()
        fits = fits_skip(cells, source.skip[name], f"data.items.skip.{name}", batch.file)
        for at in np.flatnonzero(fits).tolist():
            if at not in batch.malformed and (not lines or name in lines[at]):
                found.setdefault(at, f"skip.{name}")
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it: a number that is none is missing, as in any file, and one without bound is no number.

    Raises:
        SoukError: bytes that are no text, or lists in lists without end.
    """
    if depth > DEEPEST:
        raise SoukError("a flat row", "one that is nested deeply", "See docs/data.md.")
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {str(name): _plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, depth + 1) for part in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise SoukError("texts in UTF-8", f"{value!r}"[:80], "Leave the column out of the file.") from error
    return value if isinstance(value, str | int | float | bool | None) else str(value)
