"""Refused rows: kept with their reasons, counted, and too many of them stop the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from souk.errors import SoukError
from souk.ingest.convert import Rows
from souk.ingest.faults import Reason
from souk.ingest.files import write_parquet

SCHEMA = pa.schema(
    [
        ("reason", pa.string()),
        ("column", pa.string()),
        ("row", pa.string()),
        ("position", pa.int64()),
        ("file", pa.string()),
        ("reasons", pa.list_(pa.string())),
    ]
)
SAMPLES = 3
SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Quarantine:
    """The refused rows of one table.

    Args:
        name: the table.
        read: rows of the source.
        accepted: `[read]` mask of the others.
        rows: the refused rows, as SCHEMA says.
    """

    name: str
    read: int
    accepted: np.ndarray
    rows: pa.Table

    @property
    def refused(self) -> int:
        return int(self.rows.num_rows)

    @property
    def reasons(self) -> dict[str, int]:
        """Rows by `reason` and column ("range price"), most frequent first."""
        pairs = zip(self.rows["reason"].to_pylist(), self.rows["column"].to_pylist(), strict=True)
        counts = Counter(f"{reason} {column}".strip() for reason, column in pairs)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def counts(self) -> dict[str, object]:
        """For the manifest; accepted + quarantined = read, or an AssertionError."""
        accepted = int(self.accepted.sum())
        if accepted + self.refused != self.read:
            raise AssertionError(f"{self.name}: {accepted} accepted + {self.refused} quarantined != {self.read} read")
        return {"read": self.read, "accepted": accepted, "quarantined": self.refused, "reasons": self.reasons}


def quarantine(rows: Rows) -> Quarantine:
    """Splits off the rows with faults. The first reason in the order of `Reason` counts; all are kept."""
    order = list(Reason)
    faults = sorted(rows.faults, key=lambda each: order.index(each.reason))
    all_reasons: dict[int, list[str]] = {}
    first: dict[int, tuple[str, str]] = {}
    for each in faults:
        label = f"{each.reason} {each.column}".strip()
        for row in each.rows.tolist():
            first.setdefault(row, (each.reason.value, each.column))
            all_reasons.setdefault(row, []).append(label)
    refused = np.array(sorted(first), dtype=np.int64)
    accepted = np.ones(rows.table.num_rows, bool)
    accepted[refused] = False
    files, positions, texts = rows.origins(refused)
    reasons, places = [first[row][0] for row in refused.tolist()], [first[row][1] for row in refused.tolist()]
    columns = [reasons, places, texts, positions, files, [all_reasons[row] for row in refused.tolist()]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return Quarantine(rows.name, rows.table.num_rows, accepted, pa.Table.from_arrays(arrays, schema=SCHEMA))


def write_quarantine(tables: list[Quarantine], folder: Path) -> None:
    """One file a table, also where it is empty."""
    for table in tables:
        write_parquet(table.rows, folder / f"{table.name}.parquet")


def check_threshold(tables: list[Quarantine], threshold: float, folder: Path) -> None:
    """Stops the run where a table lost more than `threshold` of its rows.

    Raises:
        SoukError: the counts by reason, and sample rows of each.
    """
    over = [table for table in tables if table.refused > threshold * table.read]
    if not over:
        return
    lines = []
    for table in over:
        lines.append(f"{table.refused:,} of {table.read:,} {table.name} ({table.refused / table.read:.1%})")
        for reason, count in list(table.reasons.items())[:5]:
            lines.append(f"  {reason}: {count:,} rows, such as")
            lines += [f"    {sample}" for sample in samples(table, reason)]
    raise SoukError(
        f"at most {threshold:.1%} of the rows of a table in quarantine",
        "\n".join(lines),
        f"\nAll of them: {folder}. Mend the data, the mapping (data.*) or the schema, or raise "
        "ingest.quarantine_threshold.",
    )


def samples(table: Quarantine, reason: str) -> list[str]:
    """The first SAMPLES refused rows of a reason (as in `Quarantine.reasons`), with file and position."""
    labels = pc.utf8_trim_whitespace(pc.binary_join_element_wise(table.rows["reason"], table.rows["column"], " "))
    found = table.rows.filter(pc.equal(labels, reason)).slice(0, SAMPLES).to_pylist()
    return [f"{row['file']} row {row['position']}: {row['row'][:SHOWN_CHARACTERS]}" for row in found]
