"""Refused rows: kept with their reasons, counted, and too many of them stop the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from souk.errors import SoukError, cut
from souk.ingest.checks import distinct
from souk.ingest.faults import Fault, Reason
from souk.ingest.mapping import TableSource
from souk.ingest.reading import Rows
from souk.ingest.remedies import remedies

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
VALUES = 5  # different ones of a column that are kept
SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Quarantine:
    """What became of the rows of one table.

    Args:
        name: the table.
        read: rows of its files.
        skipped: those that the config leaves out, by column.
        repeats: rows with the id of another good row that the config lets fall.
        accepted: those without a fault.
        reasons: the others by `reason` and column ("range price"), most frequent first.
        samples: the first SAMPLES rows of each of `reasons`, with file and position.
        values: by `reasons`, up to VALUES different texts of the column; those that `event_types` maps, mapped.
    """

    name: str
    read: int
    skipped: Mapping[str, int]
    repeats: int
    accepted: int
    reasons: Mapping[str, int]
    samples: Mapping[str, Sequence[str]]
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """The rows that are not skipped."""
        return self.read - sum(self.skipped.values())

    @property
    def refused(self) -> int:
        return sum(self.reasons.values())

    @property
    def share(self) -> float:
        """Of the rows that are not skipped, those that are refused."""
        return self.refused / max(1, self.judged)

    @property
    def left_out(self) -> dict[str, int]:
        """Rows that are neither accepted nor refused, by the column or the key of the config that says so."""
        found = {**self.skipped, "repeated_ids": self.repeats}
        return {why: count for why, count in found.items() if count or why in self.skipped}

    def counts(self) -> dict[str, object]:
        """For the manifest; accepted + quarantined + skipped = read, or an AssertionError."""
        if self.accepted + self.refused + sum(self.left_out.values()) != self.read:
            parts = f"{self.accepted} accepted + {self.refused} quarantined + {self.left_out} skipped"
            raise AssertionError(f"{self.name}: {parts} != {self.read} read")
        return {
            "read": self.read,
            "accepted": self.accepted,
            "quarantined": self.refused,
            "reasons": dict(self.reasons),
            "skipped": self.left_out,
        }


class QuarantineWriter:
    """Writes refused rows, as SCHEMA says, and counts them.

    Args:
        file: a Parquet file to be.
        names: column of the table to column of the files.
    """

    def __init__(self, file: Path, names: Mapping[str, str]) -> None:
        self._writer = parquet.ParquetWriter(file, SCHEMA, compression="zstd")
        self._reasons: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}
        self._values: dict[str, list[str]] = {}
        self._names = names

    def add(self, rows: Rows, faults: list[Fault]) -> np.ndarray:
        """Takes the rows with `faults`; returns the mask of the others.

        The first reason in the order of `Reason` counts; all are kept.
        """
        order = list(Reason)
        all_reasons: dict[int, list[str]] = {}
        first: dict[int, tuple[str, str]] = {}
        for each in sorted(faults, key=lambda fault: order.index(fault.reason)):
            label = f"{each.reason} {each.column}".strip()
            for row in each.rows.tolist():
                first.setdefault(row, (each.reason.value, each.column))
                all_reasons.setdefault(row, []).append(label)
        refused = np.array(sorted(first), dtype=np.int64)
        good = np.ones(rows.table.num_rows, bool)
        good[refused] = False
        if len(refused):
            files, positions, texts = rows.origins(refused)
            reasons, places = [first[row][0] for row in refused.tolist()], [first[row][1] for row in refused.tolist()]
            self._write([reasons, places, texts, positions, files, [all_reasons[row] for row in refused.tolist()]])
            self._keep_values(rows, first)
        return good

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()

    def outcome(self, name: str, read: int, skipped: Mapping[str, int], repeats: int, accepted: int) -> Quarantine:
        """The counts of the table."""
        reasons = dict(sorted(self._reasons.items(), key=lambda pair: (-pair[1], pair[0])))
        return Quarantine(name, read, skipped, repeats, accepted, reasons, self._samples, self._values)

    def _write(self, columns: list[list[Any]]) -> None:
        arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
        reasons, places, texts, positions, files = columns[:5]
        labels = [f"{reason} {place}".strip() for reason, place in zip(reasons, places, strict=True)]
        self._reasons.update(labels)
        for label, file, position, text in zip(labels, files, positions, texts, strict=True):
            shown = self._samples.setdefault(label, [])
            if len(shown) < SAMPLES:
                shown.append(f"{file} row {position}: {cut(text, SHOWN_CHARACTERS)}")

    def _keep_values(self, rows: Rows, first: Mapping[int, tuple[str, str]]) -> None:
        """Notes what stands in the columns that rows are refused for."""
        for reason, column in dict.fromkeys(first.values()):
            kept = self._values.setdefault(f"{reason} {column}".strip(), [])
            if len(kept) == VALUES:
                continue
            here = np.array([row for row, why in first.items() if why == (reason, column)], dtype=np.int64)
            if reason == Reason.DOMAIN:
                texts = [str(value) for value in distinct(rows.table[column].take(pa.array(here)))]
            else:
                texts = rows.texts(self._names.get(column, ""), here)
            kept += [text for text in texts if text not in kept][: VALUES - len(kept)]


def check_threshold(
    tables: list[Quarantine], threshold: float, folder: Path, sources: Mapping[str, TableSource]
) -> None:
    """Stops the run where a table lost more than `threshold` of its rows.

    Args:
        tables: all of them.
        threshold: a share.
        folder: where their refused rows are.
        sources: where they come from.

    Raises:
        SoukError: the counts by reason, and sample rows of each.
    """
    over = [table for table in tables if table.share > threshold]
    if not over:
        return
    lines = []
    for table in over:
        of = " of those not skipped" if any(table.skipped.values()) else ""
        exact = 1 if f"{table.share:.1%}" != f"{threshold:.1%}" else 3  # 5.03% of at most 5.0%
        lines.append(f"{table.refused:,} of {table.read:,} {table.name} ({table.share:.{exact}%}{of})")
        for reason, count in list(table.reasons.items())[:5]:
            lines.append(f"  {reason}: {count:,} rows, such as")
            lines += [f"    {sample}" for sample in table.samples[reason]]
    mending = "".join(f"{remedy} " for table in over for remedy in remedies(table, sources[table.name]))
    raise SoukError(
        f"at most {threshold:.1%} of the rows of a table in quarantine",
        "\n".join(lines),
        f"\n{mending}All of them: {folder}. Mend the data, the mapping (data.*) or the schema, or raise "
        "ingest.quarantine_threshold.",
    )
