"""Rows with the id of another row, found with a small part of the ids in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

PARTS = 64
KEYS = ("souk's first key", "souk's other key")  # 16 characters each
RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<i8")])


class RepeatedIds:
    """128-bit hashes of ids and the numbers of their rows, on disk in PARTS files by hash.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, ids: pa.ChunkedArray, rows: np.ndarray) -> None:
        """Takes ids and the numbers of their rows."""
        texts = ids.to_numpy(zero_copy_only=False) if isinstance(ids, pa.Array) else ids.to_numpy()
        records = np.empty(len(rows), RECORD)
        for field, key in zip(("high", "low"), KEYS, strict=True):
            records[field] = pd.util.hash_array(texts, hash_key=key, categorize=False)
        records["row"] = rows
        parts = (records["high"] >> np.uint64(58)).astype(np.int64)
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(PARTS + 1))
        for part in np.unique(parts).tolist():
            with (self._folder / f"{part}").open("ab") as file:
                file.write(records[order[ends[part] : ends[part + 1]]].tobytes())

    def find(self, last: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of rows whose id an earlier row has (a later one, if `last`), and which repeat each is, from 1."""
        for file in sorted(self._folder.iterdir()):
            records = np.fromfile(file, RECORD)
            records = records[
                np.lexsort((-records["row"] if last else records["row"], records["low"], records["high"]))
            ]
            new = np.ones(len(records), bool)
            new[1:] = (records["high"][1:] != records["high"][:-1]) | (records["low"][1:] != records["low"][:-1])
            places = np.arange(len(records))
            nth = places - np.maximum.accumulate(np.where(new, places, 0))
            yield records["row"][nth > 0], nth[nth > 0]
