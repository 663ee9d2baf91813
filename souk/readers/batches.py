"""Every row of a source, in batches, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from souk.config import Source, composed
from souk.errors import SoukError
from souk.readers.delimited import read_atomic, read_csv
from souk.readers.files import BLOCK_BYTES, BROKEN, WHERE, File, file_format, find_files, first_line
from souk.readers.json_lines import read_jsonl
from souk.readers.raw import RawBatch
from souk.readers.texts import decoded

FIXED = "Expected all lists to be of size"  # Arrow cannot read lists of one length of which it wrote a missing one
BATCH_ROWS = 1 << 17
BATCH_BYTES = 1 << 25


def read_batches(
    source: Source, missing: str = WHERE, goes_on: Callable[[RawBatch], bool] = lambda batch: True
) -> Iterator[RawBatch]:
    """Reads every row of `source`, file by file, without a whole file in memory; names of columns are `composed`.

    Args:
        source: the files and how to read them.
        missing: the remedy where nothing is there.
        goes_on: whether more of a file is read, by its last batch; asked when that was used.

    Raises:
        SoukError: a file that is absent, empty or unreadable.
    """
    readers: dict[str, Callable[[File, Source], Iterator[RawBatch]]] = {
        "parquet": _read_parquet,
        "csv": read_csv,
        "atomic": read_atomic,
        "jsonl": read_jsonl,
    }
    files = find_files(source.path, missing)
    for file in files:
        kind = file_format(source, file.name)
        _check_form(source, kind, file.name)
        try:
            for batch in readers[kind](file, source):
                batch = replace(_with_composed_names(batch), others=len(files) > 1)
                yield batch
                if not goes_on(batch):
                    break
        except FileNotFoundError as error:
            raise SoukError(f"a file {file.name}", "nothing there", missing) from error
        except PermissionError as error:
            remedy = "Read it as somebody who may, or change its rights."
            raise SoukError(f"a file {file.name} that may be read", first_line(error), remedy) from error
        except (pa.ArrowException, *BROKEN) as error:
            remedy = "Is the file whole, and `format` right?"
            if FIXED in str(error):
                remedy = "Write lists of any length, as pa.list_(pa.float32()), or one in each row."
            raise SoukError(f"{file.name} to be {kind}", first_line(error), remedy) from error


def _with_composed_names(batch: RawBatch) -> RawBatch:
    names = [composed(name) for name in batch.table.column_names]
    if names == batch.table.column_names:
        return batch
    undecodable = tuple((row, composed(name)) for row, name in batch.undecodable)
    return replace(batch, table=batch.table.rename_columns(names), undecodable=undecodable)


def _check_form(source: Source, kind: str, name: str) -> None:
    """Keys that describe text files must not be given for others."""
    given = [key for key, value in (("delimiter", source.delimiter), ("header", source.header)) if value]
    given += [] if source.encoding == "utf-8" else ["encoding"]
    if given and kind not in ("csv", "atomic"):
        raise SoukError(f"{name} to be csv, since `{given[0]}` is given", kind, f"Leave `{given[0]}` out.")


def _read_parquet(file: File, source: Source) -> Iterator[RawBatch]:
    with file.open() as stream:
        start = 1
        # A buffer, so that a row group of any size is read in parts.
        content = parquet.ParquetFile(stream, buffer_size=BLOCK_BYTES, pre_buffer=False)
        for batch in content.iter_batches(batch_size=_batch_rows(content.metadata)):
            table, wrong = decoded(batch)
            yield RawBatch(file.name, table, np.arange(start, start + batch.num_rows), undecodable=wrong)
            start += batch.num_rows


def _batch_rows(metadata: Any) -> int:
    """Rows of about BATCH_BYTES, at most BATCH_ROWS."""
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    return max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(1, size)))
