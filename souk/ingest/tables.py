"""The accepted tables, as docs/architecture.md describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from souk.folders import whole_file
from souk.ingest.accepted import Accepted
from souk.ingest.files import write_parquet
from souk.ingest.refused import with_their_ends
from souk.ordered import in_order
from souk.schema import ID_COLUMN

MANIFEST = "manifest.json"
GROUP_ROWS = 1 << 17  # rows of a row group


@dataclass(frozen=True)
class Events:
    """What the other tables and the manifest need to know of the events.

    Args:
        rows: how many.
        seen: the items and users that they mention, by table.
        first: the earliest time, UTC epoch ms.
        last: the latest.
    """

    rows: int
    seen: Mapping[str, pa.Array]
    first: int
    last: int


def write_events(accepted: Accepted, file: Path) -> Events:
    """Writes the events in the order of time and id; there is at least one."""
    seen = {name: pa.array([], pa.string()) for name in ("items", "users")}
    rows = 0
    times: list[int] = []
    with whole_file(file) as fresh, parquet.ParquetWriter(fresh, accepted.schema, compression="zstd") as writer:
        for table in accepted.tables():
            writer.write_table(table, row_group_size=GROUP_ROWS)
            rows += table.num_rows
            times += pc.min_max(table["timestamp"]).as_py().values() if table.num_rows else ()
            for name, known in seen.items():
                found = pc.unique(table[ID_COLUMN[name]])
                seen[name] = pc.unique(pa.concat_arrays([known, found]))
    return Events(rows, seen, min(times), max(times))


def complete(
    name: str, accepted: Accepted, seen: pa.Array, refused: pa.Table, hidden: pa.Array, withdraw: bool = False
) -> pa.Table:
    """Items or users by id, with those that only events know.

    Args:
        name: "items" or "users".
        accepted: its rows.
        seen: the ids in events.
        refused: what refused rows say of the end of items that only events know.
        hidden: ids of items that are not available.
        withdraw: whether items without an event are not available, and never were.
    """
    key = ID_COLUMN[name]
    known = accepted.whole()
    new = seen.filter(pc.invert(pc.is_in(seen, value_set=known[key].combine_chunks())))
    columns = [new if field.name == key else pa.nulls(len(new), field.type) for field in known.schema]
    made = pa.Table.from_arrays(columns, schema=known.schema)
    if name == "users":
        return in_order(pa.concat_tables([known, made]), [key])
    done = in_order(pa.concat_tables([known, with_their_ends(made, refused)]), [key])
    place = done.column_names.index("available")
    available = pc.and_not(pc.fill_null(done["available"], True), pc.is_in(done[key], value_set=hidden))
    if withdraw:
        taken = pc.is_in(done[key], value_set=seen)
        available = pc.and_(available, taken)
        end = done.column_names.index("available_until")  # with one, they would have been until then
        done = done.set_column(end, done.schema.field(end), pc.if_else(taken, done["available_until"], None))
    return done.set_column(place, done.schema.field(place), available)


def write_tables(tables: Mapping[str, pa.Table], schemas: Mapping[str, str], manifest: Any, folder: Path) -> None:
    """Writes tables, schema files and, last, the manifest."""
    for name, table in tables.items():
        write_parquet(table, folder / f"{name}.parquet")
    for name, text in schemas.items():
        with whole_file(folder / "schema" / f"{name}.pbtxt") as fresh:
            fresh.write_text(text, encoding="utf-8")
    _write_manifest(manifest, folder)


def seal(folder: Path) -> None:
    """Notes in the manifest a digest of the tables as they are now: features and releases are of these, and of no
    others that the same files were read to."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb") as file:
            digest.update(f"{path.stem} {hashlib.file_digest(file, 'sha256').hexdigest()} ".encode())
    _write_manifest(manifest | {"content": digest.hexdigest()}, folder)


def content_of(folder: Path) -> str:
    """What `seal` noted of a tables folder, "" where nothing did."""
    path = folder / MANIFEST
    return str(json.loads(path.read_text(encoding="utf-8")).get("content", "")) if path.is_file() else ""


def _write_manifest(manifest: Any, folder: Path) -> None:
    with whole_file(folder / MANIFEST) as fresh:
        fresh.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
