"""A sample of what users took, and the words that tables say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from souk.declared import feature_value
from souk.features.labels import engaging_rows
from souk.schema import ID_COLUMN, Kind
from souk.sources.rows import SparseRows
from souk.spec import Feature, FeatureSpec

MOST = 200_000  # engagements in a sample
BATCH = 65_536
SEED = 17


@dataclass(frozen=True)
class Taken:
    """Engagements in the order of time; those of one time at random, since a file may have them by user or by place.

    Args:
        user: `[events]` int64, rows in `users`.
        item: `[events]` int64, rows in `items`.
        context: `[events]`, columns of the events.
        users: rows of the users table, of those who took something.
        items: rows of the items table, of what was taken.
    """

    user: np.ndarray
    item: np.ndarray
    context: pa.Table
    users: pa.Table
    items: pa.Table

    def said(self, feature: Feature, table: str, kind: Kind, numbers: dict[str, int]) -> SparseRows:
        """The words of a feature by row of a table, each word by its number, ascending.

        Args:
            feature: a declared column.
            table: "users", "items" or "events" (the context).
            kind: of the column.
            numbers: by word; new ones are added.
        """
        rows: pa.Table = self.context if table == "events" else getattr(self, table)
        if feature.source not in rows.column_names:
            return SparseRows.empty(rows.num_rows)
        values, which = _distinct(rows[feature.source].combine_chunks())
        words = [_words(feature_value(feature, kind, value)) for value in values]
        # Sorted: the draws that follow exchange numbers, and the order of a set is another one in each process.
        coded = [sorted(numbers.setdefault(word, len(numbers)) for word in sorted(each)) for each in words]
        return _taken_rows(_rows(coded), which)


def sample_taken(tables: Path, spec: FeatureSpec, before: int, columns: Mapping[str, Sequence[str]]) -> Taken:
    """Draws at most MOST of the engagements before a time, each as likely as any other.

    Args:
        tables: output of ingest.
        spec: the feature specification.
        before: UTC epoch milliseconds.
        columns: which columns of each table are wanted.
    """
    draw = np.random.default_rng(SEED)
    rows = _drawn(tables / "events.parquet", spec, before, columns["events"], draw)
    rows = rows.take(np.lexsort((draw.random(rows.num_rows), rows["timestamp"].to_numpy())))
    known = {name: _read(tables / f"{name}.parquet", ID_COLUMN[name], columns[name]) for name in ("users", "items")}
    places = {
        name: pc.index_in(rows[ID_COLUMN[name]], table[ID_COLUMN[name]].combine_chunks()).fill_null(-1).to_numpy()
        for name, table in known.items()
    }
    both = (places["users"] >= 0) & (places["items"] >= 0)
    user, item = (np.unique(places[name][both], return_inverse=True) for name in ("users", "items"))
    context = rows.filter(pa.array(both))
    return Taken(user[1], item[1], context, known["users"].take(user[0]), known["items"].take(item[0]))


def _drawn(path: Path, spec: FeatureSpec, before: int, context: Sequence[str], draw: np.random.Generator) -> pa.Table:
    """The engagements of the MOST smallest of as many random numbers as there are engagements."""
    file = pq.ParquetFile(path)
    wanted = dict.fromkeys(["user_id", "item_id", "timestamp", "event_type", "value", "dwell_seconds", *context])
    columns = [name for name in wanted if name in file.schema_arrow.names]
    parts, numbers, bound = [file.schema_arrow.empty_table().select(columns)], [np.zeros(0)], 1.0
    for batch in file.iter_batches(BATCH, columns=columns):
        early = pa.Table.from_batches([batch]).filter(pc.less(batch["timestamp"], before))
        rows = early.filter(pa.array(engaging_rows(early, spec.objectives.engaged), pa.bool_()))
        number = draw.random(rows.num_rows)
        parts.append(rows.filter(pa.array(number < bound, pa.bool_())))
        numbers.append(number[number < bound])
        if sum(map(len, numbers)) > 2 * MOST:
            parts, numbers, bound = _smallest(parts, numbers)
    return _smallest(parts, numbers)[0][0]


def _smallest(parts: list[pa.Table], numbers: list[np.ndarray]) -> tuple[list[pa.Table], list[np.ndarray], float]:
    """The rows of the MOST smallest numbers, and what is above all of these."""
    rows, number = pa.concat_tables(parts), np.concatenate(numbers)
    if len(number) <= MOST:
        return [rows], [number], 1.0
    bound = float(np.partition(number, MOST)[MOST])
    return [rows.filter(pa.array(number < bound))], [number[number < bound]], bound


def _read(path: Path, key: str, columns: Sequence[str]) -> pa.Table:
    present = set(pq.read_schema(path).names)
    return pq.read_table(path, columns=list(dict.fromkeys([key, *(name for name in columns if name in present)])))


def _distinct(values: pa.Array) -> tuple[list[Any], np.ndarray]:
    """Distinct values, and which of them each is; of lists all."""
    if pa.types.is_nested(values.type):
        return values.to_pylist(), np.arange(len(values))
    coded = values.dictionary_encode(null_encoding="encode")
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _words(value: Any) -> set[str]:
    return {word for word in ([value] if isinstance(value, str) else value) if word}


def _rows(coded: Sequence[Sequence[int]]) -> SparseRows:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in coded])]).astype(np.int64)
    codes = np.array([code for row in coded for code in row], np.int32)
    return SparseRows(indptr, codes, np.ones(len(codes), np.float32))


def _taken_rows(rows: SparseRows, which: np.ndarray) -> SparseRows:
    """These rows of others, in this order."""
    _, codes, weights = rows.gather(which)
    return SparseRows(np.concatenate([[0], np.cumsum(np.diff(rows.indptr)[which])]).astype(np.int64), codes, weights)
