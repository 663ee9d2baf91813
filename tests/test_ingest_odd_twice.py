"""Purchases that a log and the orders beside it tell twice."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.twice import told_twice
from souk.schema import DAY_MS

HOUR = DAY_MS // 24


def purchases(count: int, hours: float, twice: int) -> pa.Table:
    """Each of its own user and item, a look before it, and of the first `twice` another one so many hours later."""
    rows = [(f"u{n}", f"i{n % 7}", n * HOUR, "purchase") for n in range(count)]
    rows += [(user, item, int(time + hours * HOUR), kind) for user, item, time, kind in rows[:twice]]
    rows += [(f"u{n}", f"i{n % 7}", n * HOUR, "click") for n in range(count)]
    return pa.table(dict(zip(("user_id", "item_id", "timestamp", "event_type"), zip(*rows, strict=True), strict=True)))


@pytest.mark.parametrize(
    ("hours", "twice", "told"),
    [
        (2, 200, "events: 200 of 400 purchases come within a day"),
        (25.5, 200, "events: 200 of 400 purchases come within a day"),
        (0, 200, ""),  # lines of one basket
        (30, 200, ""),
        (2, 100, ""),  # a third
        (2, 0, ""),
    ],
)
def test_purchases_that_are_told_twice(tmp_path: Path, hours: float, twice: int, told: str) -> None:
    parquet.write_table(purchases(200, hours, twice), tmp_path / "e.parquet")
    lines = list(told_twice(tmp_path / "e.parquet"))
    assert len(lines) == bool(told) and all(line.startswith(told) for line in lines)


@pytest.mark.parametrize(("hours", "told"), [((), False), ((6,), False), ((2,), True), ((0.1, 0.2), False)])
def test_a_coffee_each_working_day_is_no_purchase_told_twice(
    tmp_path: Path, hours: tuple[float, ...], told: bool
) -> None:
    """Once a day, at breakfast and at noon, once with an order two hours off, and three at a time."""
    days = [day for day in range(56) if day % 7 < 5]
    times = [int((24 * day + more) * HOUR) for day in days for more in (0, *hours)]
    rows = pa.table({"user_id": ["u"] * len(times), "item_id": ["i"] * len(times), "timestamp": times})
    rows = pa.concat_tables([rows.set_column(0, "user_id", pa.array([f"u{n}"] * len(times))) for n in range(4)])
    parquet.write_table(rows.append_column("event_type", pa.array(["purchase"] * len(rows))), tmp_path / "e.parquet")
    assert bool(list(told_twice(tmp_path / "e.parquet"))) is told


def test_of_many_events_a_part_of_the_users_is_looked_at(tmp_path: Path) -> None:
    parquet.write_table(purchases(2000, 1, 2000), tmp_path / "e.parquet")
    (line,) = told_twice(tmp_path / "e.parquet", most=1500)
    found, count = (int(word.replace(",", "")) for word in (line.split()[1], line.split()[3]))
    assert count == 2 * found and 700 < count < 1300, "a quarter of 4,000"


def test_few_purchases_say_nothing(tmp_path: Path) -> None:
    parquet.write_table(purchases(40, 1, 40), tmp_path / "e.parquet")
    assert not list(told_twice(tmp_path / "e.parquet"))
    parquet.write_table(purchases(40, 1, 40).slice(80), tmp_path / "none.parquet")
    assert not list(told_twice(tmp_path / "none.parquet"))
