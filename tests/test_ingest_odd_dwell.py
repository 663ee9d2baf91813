"""Dwell times that are of another unit than the config says."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.events import odd_events


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ([4_000.0, 180_000.0, 210_000.0], "are above 1.8e+05, as milliseconds are: if so, set data.events.dwell_unit"),
        ([0.004, 0.18, 0.21], "are above 0.18 only, as seconds are that are taken for milliseconds"),
        ([4.0, 180.0, 210.0], ""),
        ([4.0, 180.0, 7_200.0], ""),  # a film among clips
        ([0.0, 0.0, 180.0], ""),  # who did not stay says nothing of the unit
        ([None, None, 210_000.0], "half of 100 dwell_seconds"),
    ],
)
def test_a_wrong_unit_is_told(tmp_path: Path, seconds: list[float | None], told: str) -> None:
    rows = {"event_type": ["click"] * 300, "timestamp": range(300)}
    table = pa.table({**rows, "dwell_seconds": pa.array(seconds * 100, pa.float64())})
    parquet.write_table(table, tmp_path / "events.parquet")
    found = list(odd_events(tmp_path / "events.parquet"))
    assert len(found) == bool(told) and all(told in line for line in found), found
    parquet.write_table(table.slice(0, 99), tmp_path / "few.parquet")
    assert not list(odd_events(tmp_path / "few.parquet"))
