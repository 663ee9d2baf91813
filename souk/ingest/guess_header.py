"""Files that have no line of names: their first line is a row."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess_names import NAMES
from souk.ingest.profile import DATE, MANY, plain
from souk.readers import RawBatch

FORMS = (cells.NUMBER, cells.ISO, DATE, r"^https?://")  # that names do not have, and values do
YEAR = r"^(19|20)\d{2}$"  # which a column may be named for
SHOWN, LONGEST = 6, 32  # cells of a row in a message, and characters of each
WANTED = {"events": "user_id (or session_id), item_id and timestamp", "items": "item_id", "users": "user_id"}


def check_header(table: str, batch: RawBatch) -> None:
    """Refuses a file that tells no names of its columns.

    Args:
        table: events, items or users.
        batch: its first rows, read as if its first line were names.

    Raises:
        SoukError: the first line is a row, as those below it are.
    """
    names = batch.table.column_names
    columns = [batch.table.column(place).cast(pa.string()) for place in range(len(names))]
    if not _is_row(names, columns):
        return
    given = [
        "timestamp" if re.search(f"{cells.ISO}|{DATE}", name) else f"column_{n + 1}" for n, name in enumerate(names)
    ]
    raise SoukError(
        f"the names of the columns in the first line of {batch.file}",
        f"a row, as it seems: {', '.join(name[:LONGEST] for name in names[:SHOWN])}",
        f"Give a name for each of its {len(names)} columns, as in --{table}-header {','.join(given)}, "
        f"with {WANTED[table]} where these are.",
    )


def check_count(table: str, header: Sequence[str], batch: RawBatch) -> None:
    """Refuses a header that has another number of names than the rows have values.

    Raises:
        SoukError: no row of the batch fits.
    """
    if header and batch.table.num_rows and len(batch.malformed) == batch.table.num_rows:
        received = f"{len(header)} names, and rows such as {next(iter(batch.malformed.values()))[:80]!r}"
        raise SoukError(f"as many names in --{table}-header as {batch.file} has columns", received, "Name each.")


def _is_row(names: Sequence[str], columns: Sequence[pa.ChunkedArray]) -> bool:
    """Whether a value stands where a name should, and no name that is one of the contract's does."""
    known = {name for others in NAMES.values() for name in others}
    pairs = [*zip(names, columns, strict=True)]
    if any(plain(name) in known and not pc.any(pc.equal(column, name)).as_py() for name, column in pairs):
        return False
    return any(_alike(name, column) for name, column in pairs)


def _alike(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a name has a form that all values below it have and names have not."""
    form = next((form for form in FORMS if re.search(form, name)), None)
    if form is None or re.fullmatch(YEAR, name):
        return False
    return bool((pc.mean(pc.match_substring_regex(column.drop_null(), form)).as_py() or 0) >= MANY)
