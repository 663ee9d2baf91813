"""Texts of Parquet: views, which Arrow cannot take rows of, as what they show, UUIDs, of which it has no texts, as what
Python makes of them, and bytes that nobody has looked at: not all are UTF-8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
DIGITS = [place for place in range(36) if place not in (8, 13, 18, 23)]  # of a UUID; the others are hyphens
VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
BYTES = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}


def decoded(batch: pa.RecordBatch) -> tuple[pa.Table, tuple[tuple[int, str], ...]]:
    """The rows with U+FFFD for bytes that are not UTF-8, and row and column of the cells that have such bytes."""
    batch = _plain(batch)
    columns, wrong = list(batch.columns), list[tuple[int, str]]()
    for place, (name, column) in enumerate(zip(batch.schema.names, columns, strict=True)):
        if _with(column.type, BYTES) == column.type:
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            columns[place], rows = _decoded(column)
            wrong += [(row, name) for row in rows]
    if not wrong:
        return pa.Table.from_batches([batch]), ()
    return pa.Table.from_arrays(columns, names=batch.schema.names), tuple(wrong)


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_digits(column) if isinstance(column.type, pa.UuidType) else column for column in batch.columns]
    kinds = [_with(column.type, VIEWS) for column in columns]
    if kinds == batch.schema.types:
        return batch
    columns = [column.cast(kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _digits(uuids: pa.Array) -> pa.Array:
    """UUIDs as the texts that Python makes of them, without an object for each."""
    plain, count = uuids.storage, len(uuids)
    raw = np.frombuffer(plain.buffers()[1], np.uint8, 16 * count, 16 * plain.offset).reshape(count, 16)
    text = np.full((count, 36), ord("-"), np.uint8)
    text[:, DIGITS] = np.stack([HEX[raw >> 4], HEX[raw & 15]], axis=2).reshape(count, 32)
    ends = np.arange(0, 36 * count + 1, 36, dtype=np.int32)
    found = pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(ends), pa.py_buffer(text.tobytes())])
    return pc.if_else(plain.is_valid(), found, None)


def _decoded(column: pa.Array) -> tuple[pa.Array, list[int]]:
    texts, wrong = [], []
    for row, value in enumerate(column.cast(_with(column.type, BYTES)).to_pylist()):
        try:
            texts.append(_text(value, "strict"))
        except UnicodeDecodeError:
            texts.append(_text(value, "replace"))
            wrong.append(row)
    return pa.array(texts, column.type), wrong


def _with(kind: pa.DataType, others: Mapping[pa.DataType, pa.DataType]) -> pa.DataType:
    """The type with `others` in the place of those of its values, and of those behind numbers (dictionaries)."""
    if kind in others:
        return others[kind]
    if pa.types.is_dictionary(kind) and _with(kind.value_type, others) != kind.value_type:
        return _with(kind.value_type, others)
    if pa.types.is_map(kind):
        return pa.map_(_with(kind.key_type, others), _with(kind.item_type, others))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with(field.type, others)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_with(kind.value_type, others)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_with(kind.value_type, others)), kind.list_size)
    return kind


def _text(value: Any, errors: str) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors)
    if isinstance(value, list | tuple):
        return type(value)(_text(each, errors) for each in value)
    return {name: _text(each, errors) for name, each in value.items()} if isinstance(value, dict) else value
