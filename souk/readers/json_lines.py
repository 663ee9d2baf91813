"""JSON lines: one object a line. Values become text, so that mixed types are no error."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from souk.config import Source, composed
from souk.errors import SoukError
from souk.readers.files import BLOCK_BYTES, File, unpacked
from souk.readers.raw import RawBatch
from souk.values import cell_text

ARRAY = rb"\s*\[\s*(\{|$)"  # the first line of a file that is one array of objects


def read_jsonl(file: File, source: Source) -> Iterator[RawBatch]:
    """One JSON object a line. Values become text (lists and objects their JSON), so that mixed types are no error."""
    start = 1
    with unpacked(file) as stream:
        for lines in _blocks(stream, file.name):
            if start == 1:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
            lines = [line for line in lines if line.strip()]
            if start == 1 and lines and re.match(ARRAY, lines[0]):
                raise _no_array(file.name, "an array")
            if lines:
                yield json_batch(file.name, lines, start)
            start += len(lines)


def _blocks(stream: BinaryIO, name: str) -> Iterator[list[bytes]]:
    """The lines of a file, a block at a time."""
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > BLOCK_BYTES:
            raise _no_array(name, f"one of more than {BLOCK_BYTES:,} bytes")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _no_array(name: str, received: str) -> SoukError:
    return SoukError(f"one JSON object a line in {name}", received, "Write a line an object, not one array.")


def json_batch(file: str, lines: list[bytes], start: int) -> RawBatch:
    """Lines as rows; the first is number `start` of `file`."""
    texts: list[str] = []
    rows: list[dict[str, Any]] = []
    malformed: dict[int, str] = {}
    undecodable: list[tuple[int, str]] = []
    for index, line in enumerate(lines):
        text, row = line.strip().decode("utf-8", "replace"), None
        if text.encode() != line.strip():
            undecodable.append((index, ""))
        with suppress(ValueError, RecursionError):
            row = json.loads(text)
        texts.append(text)
        if not isinstance(row, dict):
            malformed[index] = text
            row = {}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    clean = list(named(dict.fromkeys(names)))
    if names != clean:  # each line may write them its own way
        undecodable += [(at, composed(_clean(n))) for at, row in enumerate(rows) for n in row if _clean(n) != n]
        rows = [named(row) for row in rows]
        names = clean
    columns = []
    for name in names:
        column, wrong = _text_column([_json_text(row.get(name)) for row in rows])
        undecodable += [(row, name) for row in wrong]
        columns.append(column)
    table = pa.Table.from_arrays(columns, names=names) if names else pa.table({"": pa.nulls(len(rows), pa.string())})
    positions = np.arange(start, start + len(rows))
    return RawBatch(file, table, positions, malformed, tuple(undecodable), pa.array(texts, pa.string()))


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a line by the names of the columns that they are in."""
    return {composed(_clean(name)): value for name, value in row.items()}


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):  # as Python writes what a frame has not
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else cell_text(value)


def _clean(text: str) -> str:
    """The text with a question mark for each lone surrogate, which JSON escapes can make."""
    return text.encode("utf-8", "replace").decode()


def _text_column(values: list[str | None]) -> tuple[pa.Array, list[int]]:
    """A text column, and the rows whose text is no Unicode (lone surrogates of JSON escapes)."""
    try:
        return pa.array(values, pa.string()), []
    except (UnicodeEncodeError, pa.ArrowException):
        clean = [None if v is None else _clean(v) for v in values]
        wrong = [row for row, (a, b) in enumerate(zip(values, clean, strict=True)) if a != b]
        return pa.array(clean, pa.string()), wrong
