"""Rows as they came."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class RawBatch:
    """Consecutive rows of one file, as they stand there.

    Args:
        file: the file's name.
        table: the columns; a row that could not be split into columns is all null.
        positions: `[rows]` int64, the row's number in its file, from 1; header and blank lines do not count.
        malformed: row index to text, of rows that could not be split into columns.
        undecodable: row index and column of cells that are not UTF-8 (column "" for a whole row).
        lines: the rows' own text, where the format has it (JSON lines).
        others: whether the source has more files, which may have columns that this one lacks.
    """

    file: str
    table: pa.Table
    positions: np.ndarray
    malformed: dict[int, str] = field(default_factory=dict)
    undecodable: tuple[tuple[int, str], ...] = ()
    lines: pa.Array | None = None
    others: bool = False

    def filter(self, keep: np.ndarray) -> RawBatch:
        """The rows where the mask `keep` is true."""
        place = np.cumsum(keep) - 1
        return RawBatch(
            self.file,
            self.table.filter(pa.array(keep)),
            self.positions[keep],
            {int(place[row]): text for row, text in self.malformed.items() if keep[row]},
            tuple((int(place[row]), name) for row, name in self.undecodable if keep[row]),
            None if self.lines is None else self.lines.filter(pa.array(keep)),
            self.others,
        )

    def originals(self, rows: np.ndarray) -> list[str]:
        """Rows (indices into the batch) as JSON, as they came."""
        if self.lines is not None:
            texts = self.lines.take(pa.array(rows)).to_pylist()
        else:
            values = self.table.take(pa.array(rows)).to_pylist()
            texts = [json.dumps(value, ensure_ascii=False, default=str) for value in values]
        whole = [(self.malformed.get(row), text) for row, text in zip(rows.tolist(), texts, strict=True)]
        return [text if line is None else json.dumps({"line": line}, ensure_ascii=False) for line, text in whole]
