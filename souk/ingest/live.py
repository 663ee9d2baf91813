"""Items that come outside of a run of `ingest`: the same conversion and the same checks, row by row."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from souk.config import Source
from souk.errors import SoukError, unknown
from souk.ingest.checks import check_schema
from souk.ingest.convert import convert
from souk.ingest.faults import Fault, Reason
from souk.ingest.mapping import TableSource
from souk.ingest.schemas import contract_schema, read_schema
from souk.readers.json_lines import json_batch
from souk.schema import Kind

LONGEST_ID = 512  # characters, as in a request
SHOWN = 80
EXPECTED = {
    Reason.MALFORMED: "a JSON object for each item",
    Reason.ENCODING: "UTF-8 in {column}",
    Reason.MISSING: "a value for {column}",
    Reason.TYPE: "{column} to be of type {type}",
    Reason.RANGE: "{column} within the range of the release's schema",
    Reason.DOMAIN: "{column} to be a value that the release's schema lists",
    Reason.DIMENSION: "{column} of the width that the config declares",
}


class ItemCheck:
    """Checks rows of items as `ingest` does: types, the contract, and the schema of a release.

    Args:
        kinds: the declared columns of items.
        widths: of declared vectors, by column.
        schema: the text of the release's `schema/items.pbtxt`; "" where it has none.
    """

    def __init__(self, kinds: Mapping[str, Kind], widths: Mapping[str, int], schema: str = "") -> None:
        self._table = TableSource("items", Source(path="items", format="jsonl"), kinds)
        self._schemas = [contract_schema("items", kinds, widths)]
        if schema:
            self._schemas.append(read_schema("items", schema, kinds, "schema/items.pbtxt of the release"))

    def check(self, rows: Sequence[Any], known: Collection[str]) -> tuple[pa.Table, dict[int, str]]:
        """The typed rows, and why some are refused.

        Args:
            rows: decoded JSON, an object for each item.
            known: the ids of items that are there: what their rows leave out stays as it is.

        Returns:
            a table in the types of `items.parquet` with a row for each of `rows`, and by number of row the reason.
        """
        refused = {at: why for at, row in enumerate(rows) if (why := self._misnamed(row))}
        batch = json_batch("items", [json.dumps(row).encode() for row in rows], 1)
        table, faults = convert(self._table, batch)
        unread: dict[str, np.ndarray] = {}
        for each in faults:
            unread.setdefault(each.column, np.zeros(len(rows), bool))[each.rows] = True
        for schema in self._schemas:
            faults += check_schema(table, schema, unread)
        for each in sorted(faults, key=lambda fault: list(Reason).index(fault.reason)):
            for at in each.rows.tolist():
                if at not in refused and not _left_out(each, rows[at], known):
                    refused[at] = self._reason(each, rows[at])
        return table, refused

    def _misnamed(self, row: Any) -> str:
        """Why the names in a row, or its id, are wrong; "" where they are not."""
        if not isinstance(row, dict):
            return ""
        for name in row:
            if name not in self._table.schema.names:
                return str(unknown("a column of items", str(name)[:SHOWN], self._table.schema.names))
        item = row.get("item_id")
        if isinstance(item, list | dict | bool) or len(str(item)) > LONGEST_ID:
            received = f"{str(item)[:SHOWN]!r}"
            return str(SoukError(f"item_id to be a text of 1 to {LONGEST_ID} characters", received, "Shorten it."))
        return ""

    def _reason(self, fault: Fault, row: Any) -> str:
        kind = self._table.schema.field(fault.column).type if fault.column in self._table.schema.names else ""
        expected = EXPECTED.get(fault.reason, "{column} to be right").format(column=fault.column, type=kind)
        value = row.get(fault.column) if isinstance(row, dict) and fault.column else row
        return str(SoukError(expected, f"{value!r}"[:SHOWN], "See docs/data.md."))


def _left_out(fault: Fault, row: Any, known: Collection[str]) -> bool:
    """Whether a column is missing because the row of a known item does not speak of it."""
    if fault.reason is not Reason.MISSING or not isinstance(row, dict) or fault.column in row:
        return False
    return fault.column != "item_id" and str(row.get("item_id")) in known
