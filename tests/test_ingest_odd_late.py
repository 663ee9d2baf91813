"""Events that arrived long after their time."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.late import HOUR_MS, odd_arrivals
from tests.test_ingest_step import CONFIG, Shop

NOW = 1_700_000_000_000


def lines(folder: Path, delays: list[int | None]) -> list[str]:
    """What is told of events that arrived so many milliseconds after their time."""
    arrived = pa.array([None if delay is None else NOW + delay for delay in delays], pa.int64())
    parquet.write_table(pa.table({"timestamp": [NOW] * len(delays), "arrived_at": arrived}), folder / "e.parquet")
    return list(odd_arrivals(folder / "e.parquet"))


@pytest.mark.parametrize(
    ("delays", "late"),
    [
        ([HOUR_MS + 1] + [0] * 99, "1 of 100 (1.0%)"),
        ([HOUR_MS + 1] + [0] * 100, ""),
        ([HOUR_MS] * 100, ""),
        ([HOUR_MS + 1, None] * 50, "50 of 100 (50.0%)"),
        ([None] * 3, ""),
        ([], ""),
    ],
)
def test_many_that_arrived_late_are_told(tmp_path: Path, delays: list[int | None], late: str) -> None:
    told = lines(tmp_path, delays)
    assert len(told) == bool(late)
    assert all(line.startswith(f"events: {late} arrived more than an hour after their time") for line in told)


def test_without_arrivals_nothing_is_told(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"timestamp": [NOW]}), tmp_path / "e.parquet")
    assert not list(odd_arrivals(tmp_path / "e.parquet"))


@pytest.mark.slow
def test_the_step_tells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    late = CONFIG.replace("timestamp_unit: s}", "timestamp_unit: s, constants: {arrived_at: 1700010000}}")
    for run, config in enumerate((late, CONFIG)):
        shop = Shop(tmp_path / str(run), config)
        shop.folder.mkdir()
        shop.write()
        shop.ingest()
        assert ("events: 400 of 400 (100.0%) arrived" in "".join(capfd.readouterr())) == (config is late)
        assert ("events: 400 of 400 (100.0%)" in (shop.folder / "1" / "report.html").read_text()) == (config is late)
