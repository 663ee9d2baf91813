"""Every row of a source, in batches, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from souk.config import Source
from souk.errors import SoukError
from souk.readers.delimited import read_atomic, read_csv
from souk.readers.files import File, file_format, find_files, first_line
from souk.readers.json_lines import read_jsonl
from souk.readers.raw import RawBatch

BATCH_ROWS = 1 << 17


def read_batches(source: Source) -> Iterator[RawBatch]:
    """Reads every row of `source`, file by file.

    Raises:
        SoukError: a file that is absent, empty or unreadable.
    """
    readers: dict[str, Callable[[File], Iterator[RawBatch]]] = {
        "parquet": _read_parquet,
        "csv": read_csv,
        "atomic": read_atomic,
        "jsonl": read_jsonl,
    }
    for file in find_files(source.path):
        kind = file_format(source, file.name)
        try:
            yield from readers[kind](file)
        except FileNotFoundError as error:
            raise SoukError(f"a file {file.name}", "nothing there", "Mend `path` in the config.") from error
        except (pa.ArrowException, OSError, EOFError) as error:
            remedy = "Is the file whole, and `format` right?"
            raise SoukError(f"{file.name} to be {kind}", first_line(error), remedy) from error


def _read_parquet(file: File) -> Iterator[RawBatch]:
    with file.open() as stream:
        start = 1
        for batch in parquet.ParquetFile(stream).iter_batches(batch_size=BATCH_ROWS):
            yield RawBatch(file.name, pa.Table.from_batches([batch]), np.arange(start, start + batch.num_rows))
            start += batch.num_rows
