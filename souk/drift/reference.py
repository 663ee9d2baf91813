"""The reference sample of a release, read and checked: what a window is compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from souk.drift.columns import Cell, Column, columns_of, fill
from souk.errors import SoukError
from souk.monitored import ENGAGEMENTS, KIND, PACE, REFERENCE, REQUESTS
from souk.release.manifest import read_manifest
from souk.spec import FeatureSpec, read_spec

LEAST_ROWS = 100
CALENDAR = ("query_hour", "query_weekday")


@dataclass(frozen=True)
class Reference:
    """The sample of one release.

    Args:
        release: its name.
        spec: its specification.
        columns: what is tested.
        cells: by column name, a cell for every row of the sample.
        rows: how many.
        kind: what they are of, one of `souk.monitored.MOMENTS`.
    """

    release: str
    spec: FeatureSpec
    columns: tuple[Column, ...]
    cells: dict[str, list[Cell]]
    rows: int
    kind: str = ENGAGEMENTS

    @classmethod
    def load(cls, folder: str | Path, excluded: Collection[str] | None = ()) -> Reference:
        """Reads the sample of a release; no other file of it is looked at but its manifest and specification.

        Args:
            folder: the release.
            excluded: features that are not to be tested; None for those of the calendar, and those of the pace of
                requests where the sample is of something else.

        Raises:
            SoukError: a file is missing, changed or of another release, or holds too little.
        """
        path = Path(folder)
        manifest = read_manifest(path)
        for name in ("spec.json", REFERENCE):
            _check(path / name, manifest["files"].get(name, ""))
        spec = read_spec(path / "spec.json")
        try:
            table = pq.read_table(path / REFERENCE)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path / REFERENCE, str(error)) from error
        kind = (table.schema.metadata or {}).get(KIND, ENGAGEMENTS.encode()).decode()
        if excluded is None:
            excluded = CALENDAR if kind == REQUESTS else (*CALENDAR, *PACE)
        columns = columns_of(spec, excluded)
        absent = sorted({column.feature for column in columns} - set(table.column_names))
        if absent:
            raise _unreadable(path / REFERENCE, f"no column {', '.join(absent)}")
        if len(table) < LEAST_ROWS:
            raise SoukError(
                f"at least {LEAST_ROWS} requests in {path / REFERENCE}",
                f"{len(table)}",
                "Train on more data: it holds requests of the test window.",
            )
        return cls(manifest["name"], spec, columns, _cells(table, columns, path / REFERENCE), len(table), kind)


def _cells(table: pa.Table, columns: tuple[Column, ...], path: Path) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {column.name: [] for column in columns}
    for row in table.select(sorted({column.feature for column in columns})).to_pylist():
        filled, malformed = fill(columns, row)
        if malformed:
            raise _unreadable(path, "values of another type than the specification's")
        for name, cell in filled.items():
            cells[name].append(cell)
    return cells


def _check(path: Path, wanted: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if found != wanted:
        raise SoukError(
            f"{path} as it was packaged with its release.json",
            "a changed file, or one of another release",
            "Deploy the release again.",
        )


def _unreadable(path: Path, received: str) -> SoukError:
    return SoukError(f"a drift reference of the release at {path}", received, "Package the release again.")
