"""A table of a source in memory, for tests; `ingest` itself never holds one whole."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from souk.config import Source
from souk.ingest.checks import check_early, of_later_years
from souk.ingest.faults import Fault, Reason
from souk.ingest.mapping import TableSource
from souk.ingest.reading import Reading, check_times
from souk.readers import RawBatch
from souk.schema import Kind


@dataclass(frozen=True)
class Gathered:
    """All rows of a table, the faults of their cells, the raw batches, columns that nothing asks for, skipped rows."""

    table: pa.Table
    faults: list[Fault]
    batches: list[RawBatch]
    ignored: list[str]
    skipped: dict[str, int]

    def texts(self) -> list[str]:
        """The original of each row, as JSON."""
        return [text for batch in self.batches for text in batch.originals(np.arange(len(batch.positions)))]


def read_rows(name: str, source: Source, kinds: Mapping[str, Kind]) -> Gathered:
    """Reads a table."""
    table = TableSource(name, source, kinds)
    reading = Reading(table)
    tables, batches, found = [table.schema.empty_table()], [], {}
    for rows in reading:
        tables.append(rows.table)
        batches.append(rows.raw)
        for each in rows.faults:
            found.setdefault((each.reason, each.column), []).append(each.rows + rows.start)
    whole = pa.concat_tables(tables)
    faults = [Fault(reason, column, np.concatenate(parts)) for (reason, column), parts in found.items()]
    if name == "events":
        unread = sum(len(f.rows) for f in faults if f.column == "timestamp" and f.reason is Reason.TYPE)
        check_times(source, whole["timestamp"], unread / whole.num_rows)
        faults += check_early(whole) if of_later_years(whole["timestamp"]) else []
    return Gathered(whole, faults, batches, table.ignored(reading.names), dict(reading.skipped))
