"""Whether the numbers of a file have a decimal comma."""

from __future__ import annotations

from souk.config import Source
from souk.ingest import cells
from souk.ingest.profile import Column
from souk.readers import file_format, find_files

POINT = r"^[+-]?[\d,]*\.(\d{1,2}|\d{4,})$"  # 1.250 may be a thousand and more
TEXT = {"csv", "atomic"}  # JSON and Parquet have numbers of their own


def with_commas(source: Source, columns: list[Column]) -> tuple[list[Column], str]:
    """The columns with their numbers as a config with `decimal: ","` reads them, and one of these numbers; where none
    has a decimal comma, or another has a decimal point, as they are, and "".

    Args:
        source: of the columns.
        columns: of a sample.
    """
    found = [column for column in columns if column.comma]
    if not found or not {file_format(source, file.name) for file in find_files(source.path)} <= TEXT:
        return columns, ""
    numbers = [column for column in columns if column.comma or (column.numeric and not column.time_unit)]
    if any(column.like(POINT) > 0 for column in numbers):
        return columns, ""
    read = [Column(c.name, cells.with_points(c.values)) if c in numbers else c for c in columns]
    return read, found[0].comma
