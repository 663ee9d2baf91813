"""Texts of Parquet, whose bytes nobody has looked at: not all are UTF-8."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def decoded(batch: pa.RecordBatch) -> tuple[pa.Table, tuple[tuple[int, str], ...]]:
    """The rows with U+FFFD for bytes that are not UTF-8, and row and column of the cells that have such bytes."""
    columns, wrong = list(batch.columns), list[tuple[int, str]]()
    for place, (name, column) in enumerate(zip(batch.schema.names, columns, strict=True)):
        if _of_bytes(column.type) == column.type:
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            columns[place], rows = _decoded(column)
            wrong += [(row, name) for row in rows]
    if not wrong:
        return pa.Table.from_batches([batch]), ()
    return pa.Table.from_arrays(columns, names=batch.schema.names), tuple(wrong)


def _decoded(column: pa.Array) -> tuple[pa.Array, list[int]]:
    texts, wrong = [], []
    for row, value in enumerate(column.cast(_of_bytes(column.type)).to_pylist()):
        try:
            texts.append(_text(value, "strict"))
        except UnicodeDecodeError:
            texts.append(_text(value, "replace"))
            wrong.append(row)
    return pa.array(texts, column.type), wrong


def _of_bytes(kind: pa.DataType) -> pa.DataType:
    """The type with bytes in the place of texts, and of texts behind numbers (dictionaries)."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind) and _of_bytes(kind.value_type) != kind.value_type:
        return _of_bytes(kind.value_type)
    if pa.types.is_map(kind):
        return pa.map_(_of_bytes(kind.key_type), _of_bytes(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_of_bytes(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_of_bytes(kind.value_type)), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_of_bytes(field.type)) for field in kind])
    return kind


def _text(value: Any, errors: str) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors)
    if isinstance(value, list | tuple):
        return type(value)(_text(each, errors) for each in value)
    return {name: _text(each, errors) for name, each in value.items()} if isinstance(value, dict) else value
