"""The accepted tables, as docs/architecture.md describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from souk.ingest.files import whole_file, write_parquet
from souk.schema import ID_COLUMN


def complete(tables: Mapping[str, pa.Table], withdraw: bool = False) -> dict[str, pa.Table]:
    """Sorts the tables, and adds items and users that only events know.

    Args:
        tables: accepted rows of events, items and users.
        withdraw: whether items without an event are not available.
    """
    events = tables["events"].sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    done = {"events": events}
    for name in ("items", "users"):
        key = ID_COLUMN[name]
        known = tables[name]
        seen = pc.unique(events[key])
        new = seen.filter(pc.invert(pc.is_in(seen, value_set=known[key].combine_chunks())))
        columns = [new if field.name == key else pa.nulls(len(new), field.type) for field in known.schema]
        done[name] = pa.concat_tables([known, pa.Table.from_arrays(columns, schema=known.schema)]).sort_by(key)
    items = done["items"]
    place = items.column_names.index("available")
    available = pc.fill_null(items["available"], True)
    if withdraw:
        available = pc.and_(available, pc.is_in(items["item_id"], value_set=pc.unique(events["item_id"])))
    done["items"] = items.set_column(place, items.schema.field(place), available)
    return done


def write_tables(tables: Mapping[str, pa.Table], schemas: Mapping[str, str], manifest: Any, folder: Path) -> None:
    """Writes tables, schema files and, last, the manifest."""
    for name, table in tables.items():
        write_parquet(table, folder / f"{name}.parquet")
        with whole_file(folder / "schema" / f"{name}.pbtxt") as fresh:
            fresh.write_text(schemas[name], encoding="utf-8")
    with whole_file(folder / "manifest.json") as fresh:
        fresh.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
