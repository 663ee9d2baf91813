"""A file of items as rows for a running server: the readers' formats, the config's mapping."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import DatasetConfig, Source
from souk.errors import SoukError
from souk.ingest.convert import ENDS, convert
from souk.ingest.mapping import TableSource
from souk.ingest.templates import template_columns
from souk.readers import HERE, RawBatch, read_batches


def item_rows_of(path: str, config: DatasetConfig | None) -> Iterator[Any]:
    """Rows of items in the order of the file: JSON objects, and what is none as it stands there.

    Args:
        path: Parquet, CSV or JSON lines.
        config: says which column of the file is which (`data.items`); columns that the file lacks are left out. None
            for a file with Souk's own names.

    Raises:
        SoukError: a file that cannot be read.
    """
    source = config.data.items if config and config.data.items else Source(path=path)
    source = source.model_copy(update={"path": path, "format": "auto"})
    for batch in read_batches(source, HERE):
        if config is None:
            yield from _as_they_are(batch)
        else:
            yield from _mapped(batch, source, config)


def _as_they_are(batch: RawBatch) -> Iterator[Any]:
    """The columns by the names of the file; the server reads their values."""
    if batch.lines is not None:
        yield from (json.loads(line) if at not in batch.malformed else line for at, line in _numbered(batch))
        return
    if "item_id" not in batch.table.column_names:
        received = ", ".join(batch.table.column_names) or "no columns"
        raise SoukError("a column item_id", received, "Say which column is which: --config, with data.items.columns.")
    rows = batch.table.to_pylist()
    for at in np.argsort(batch.positions, kind="stable").tolist():  # those that are malformed come last in a batch
        yield batch.malformed.get(at) or {name: _plain(v) for name, v in rows[at].items()}


def _numbered(batch: RawBatch) -> Iterator[tuple[int, str]]:
    return enumerate(batch.lines.to_pylist() if batch.lines is not None else [])


def _mapped(batch: RawBatch, source: Source, config: DatasetConfig) -> Iterator[Any]:
    """The columns by the config. A cell that cannot be read stays as it is: the server says what is wrong with it."""
    names = batch.table.column_names
    columns = {name: raw for name, raw in source.columns.items() if raw in names}
    templates = dict(source.templates)
    if ends := [f"{{{part}}}" for part in template_columns(templates.pop(ENDS, "")) if part in names]:
        templates[ENDS] = " ".join(ends)  # a row that names none of the ends says nothing of them
    source = source.model_copy(update={"columns": columns, "templates": templates})
    table = TableSource("items", source, config.columns.items)
    found = table.columns(names)
    given = [n for n in table.schema.names if n in found or n in source.constants or n in source.templates]
    table = TableSource("items", source, {n: k for n, k in config.columns.items.items() if n in given})
    typed, faults = convert(table, batch)
    rows = typed.select(given).to_pylist()
    origins = {**{name: [raw] for name, raw in found.items()}, **table.parts}
    for each in faults:
        for at in each.rows.tolist():
            cells = [batch.table[raw][at].as_py() for raw in origins.get(each.column, ())]
            raw = cells[0] if len(cells) == 1 else " ".join(str(cell) for cell in cells if cell is not None) or None
            rows[at] = {**rows[at], each.column: _plain(raw)} if each.column else batch.malformed.get(at, "")
    for at, line in _numbered(batch):
        if at not in batch.malformed:
            rows[at] |= _nested(json.loads(line), typed.schema, found)
    for at in np.argsort(batch.positions, kind="stable").tolist():
        row = rows[at]
        yield {n: _plain(v) for n, v in row.items()} if isinstance(row, dict) else row


def _nested(line: Mapping[str, Any], schema: pa.Schema, found: Mapping[str, str]) -> dict[str, Any]:
    """The lists and objects that a line of JSON has for texts, as they are: the server refuses them."""
    texts = {name: line.get(raw) for name, raw in found.items() if schema.field(name).type == pa.string()}
    return {name: value for name, value in texts.items() if isinstance(value, list | dict)}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)
