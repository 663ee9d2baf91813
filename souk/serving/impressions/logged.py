"""The impression log as a source: its part files in order, on a disk or in an object store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from souk.errors import SoukError, shown
from souk.readers.files import first_line
from souk.readers.storage import storage

BATCH = 4096
WHERE = "It is the folder or URL of the impressions of `souk serve`: <workspace>/impressions, or a part of it."


def part_files(where: str) -> tuple[fsspec.AbstractFileSystem, list[str]]:
    """The part files of a log, or of some days or hours of one, the oldest first; unfinished ones are none.

    Raises:
        SoukError: there are none.
    """
    try:
        fs, root = storage(where)
        found = [root] if fs.isfile(root) else fs.find(root)
    except (ImportError, OSError, ValueError) as error:
        raise SoukError(f"an impression log at {shown(where)}", first_line(error), WHERE) from error
    names = [name for name in found if name.endswith(".parquet") and not name.rsplit("/", 1)[-1].startswith(".")]
    if not names:
        raise SoukError(f"an impression log at {shown(where)}", "no part file", WHERE)
    return fs, sorted(names)


def batches(where: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The records of a log, some at a time.

    Args:
        where: the folder, file or URL.
        columns: those wanted; what a file of before lacks is null.

    Raises:
        SoukError: there is no log, or a file is no part of one.
    """
    fs, names = part_files(where)
    for name in names:
        with _part(fs, name) as file:
            there = file.schema_arrow.names
            if "request_id" not in there:
                raise SoukError(f"impression records in {name}", f"columns {', '.join(there)[:200]}", WHERE)
            for batch in file.iter_batches(BATCH, columns=[c for c in columns if c in there]):
                arrays = [batch[c] if c in there else pa.nulls(len(batch)) for c in columns]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


def rows(where: str) -> int:
    """How many records a log has.

    Raises:
        SoukError: there is no log, or a file is no part of one.
    """
    fs, names = part_files(where)
    total = 0
    for name in names:
        with _part(fs, name) as file:
            total += file.metadata.num_rows
    return total


@contextmanager
def _part(fs: fsspec.AbstractFileSystem, name: str) -> Iterator[pq.ParquetFile]:
    """A part file; what is damaged in it is told with its name, wherever it is read."""
    try:
        with fs.open(name, "rb") as opened, pq.ParquetFile(opened) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        remedy = "Move the damaged file out of the log."
        raise SoukError(f"a Parquet file at {name}", first_line(error), remedy) from error
