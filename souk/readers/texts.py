"""Texts of Parquet: views, which Arrow cannot take rows of, as what they show, and bytes that nobody has looked at: not
all are UTF-8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
BYTES = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}


def decoded(batch: pa.RecordBatch) -> tuple[pa.Table, tuple[tuple[int, str], ...]]:
    """The rows with U+FFFD for bytes that are not UTF-8, and row and column of the cells that have such bytes."""
    batch = _without_views(batch)
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


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    kinds = [_with(column.type, VIEWS) for column in batch.columns]
    if kinds == batch.schema.types:
        return batch
    columns = [column.cast(kind) for column, kind in zip(batch.columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


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
