"""Files that have no line of names: their first line is a row."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest import cells
from souk.ingest.guess.names import NAMES
from souk.ingest.guess.roles import roles
from souk.ingest.guess.several import told_several
from souk.ingest.profile import DATE, MANY, Column, plain
from souk.readers import RawBatch

FORMS = (cells.NUMBER, cells.ISO, DATE, r"^https?://", r"^[0-9a-f]{16,}$")  # that names do not have, and values do
YEAR = r"^(19|20)\d{2}$"  # which a column may be named for
FIRST = ("first",)  # given for names: they are in the first line, whatever they look like
# Of a column with few values, the share of its rows that are different, at most; and how many such columns tell, of how
# many rows, that the first line is none of them.
FEW, FEWEST, ROWS = 0.2, 2, 30
SHOWN, LONGEST = 6, 32  # cells of a row in a message, and characters of each
WANTED = {"events": ("user_id", "item_id", "timestamp"), "items": ("item_id",), "users": ("user_id",)}


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
    whole = [
        Column("", pa.concat_arrays([pa.array([name or None], pa.string()), *column.chunks]))
        for name, column in zip(names, columns, strict=True)
    ]
    given, told = roles(table, whole)
    if "timestamp" not in given and (day := next((n for n, name in enumerate(names) if re.search(DATE, name)), None)):
        given[day] = "timestamp"
    missing = [name for name in WANTED[table] if name not in given]
    more = f", and {' and '.join(missing)} where {'these are' if len(missing) > 1 else 'it is'}" if missing else ""
    sure = "" if told or missing else ", or user_id and item_id the other way round"
    whole = [Column(name, column.values) for name, column in zip(given, whole, strict=True)]
    many = f" {told_several(whole)}".rstrip() if table == "events" and "item_id" in missing else ""
    none = " Where none is a time: docs/data.md, A log without times." if "timestamp" in missing else ""
    raise SoukError(
        f"the names of the columns in the first line of {batch.file}",
        f"a row, as it seems: {', '.join(name[:LONGEST] for name in names[:SHOWN])}",
        f"Give a name for each of its {len(names)} columns. By their values these may be --{table}-header "
        f"{','.join(given)}{sure}{more}.{none}{many} "
        f"If these are the names: --{table}-header first.",
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
    return any(_alike(name, column) for name, column in pairs) and not _apart(pairs)


def _apart(pairs: Sequence[tuple[str, pa.ChunkedArray]]) -> bool:
    """Whether no name comes again in its column, where several have few values, one of which a row would have."""
    few = [
        (name, column) for name, column in pairs if pc.count_distinct(column).as_py() <= FEW * len(column) > FEW * ROWS
    ]
    return len(few) >= FEWEST and not any(pc.any(pc.equal(column, name)).as_py() for name, column in few)


def _alike(name: str, column: pa.ChunkedArray) -> bool:
    """Whether a name has a form that all values below it have and names have not."""
    forms = [] if re.fullmatch(YEAR, name) else [form for form in FORMS if re.search(form, name)]
    shares = (pc.mean(pc.match_substring_regex(column.drop_null(), form)).as_py() or 0 for form in forms)
    return any(share >= MANY for share in shares)
