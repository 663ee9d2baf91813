"""Hides that an export fills with the value 0, which takes a hide back."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.hides import odd_hides


def lines(folder: Path, values: list[float | None], users: int = 1) -> list[str]:
    """What is told of the hides of one item with these values, in order, by each of some users, among clicks."""
    hides = [(f"u{user}", "a", n, "hide", value) for user in range(users) for n, value in enumerate(values)]
    rows = [*hides, *(("u0", "b", n, "click", 0.0) for n in range(30))]
    names = ("user_id", "item_id", "timestamp", "event_type", "value")
    parquet.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), folder / "e.parquet")
    return list(odd_hides(folder / "e.parquet"))


@pytest.mark.parametrize(
    ("values", "idle"),
    [
        ([0.0], 1),
        ([0.0, 0.0, 0.0], 3),
        ([0.0, None], 1),
        ([None, 0.0], 0),
        ([1.0, 0.0, 0.0, None, 0.0], 0),
        ([None], 0),
        ([0.0, 1.0, 0.0, 1.0, 0.0], 0),  # a fifth: a log that begins after a hide
    ],
)
def test_hides_that_take_nothing_back_are_told(tmp_path: Path, values: list[float | None], idle: int) -> None:
    told = lines(tmp_path, values, users=7)
    assert len(told) == bool(idle)
    for line in told:
        assert line.startswith(f"events: {7 * idle} of {7 * len(values)} hides have the value 0")


def test_without_hides_or_values_nothing_is_told(tmp_path: Path) -> None:
    assert not lines(tmp_path, [])
    rows = parquet.read_table(tmp_path / "e.parquet").drop_columns("value")
    parquet.write_table(rows, tmp_path / "e.parquet")
    assert not list(odd_hides(tmp_path / "e.parquet"))
