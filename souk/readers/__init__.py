"""Reads the files of a `Source`, whatever their format, in batches of raw rows; nothing is dropped.

Text formats (CSV, JSON lines, RecBole's atomic files) give columns of text, Parquet its own types. What the columns
mean is decided by `souk.ingest.convert`.
"""

from souk.readers.batches import read_batches
from souk.readers.files import (
    BROKEN,
    FORMATS,
    HERE,
    File,
    ending,
    file_format,
    find_files,
    fingerprint,
    log_files,
    unpacked,
    written,
)
from souk.readers.json_lines import named
from souk.readers.raw import RawBatch

__all__ = [
    "BROKEN",
    "FORMATS",
    "HERE",
    "File",
    "RawBatch",
    "ending",
    "file_format",
    "find_files",
    "fingerprint",
    "log_files",
    "named",
    "read_batches",
    "unpacked",
    "written",
]
