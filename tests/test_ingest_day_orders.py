"""Days that begin with the month or the day: what they are, and how `souk init` knows."""

from pathlib import Path

import pyarrow as pa
import pytest

from souk.config import parse_config
from souk.errors import SoukError
from souk.ingest import cells, no_dates
from souk.ingest.guess.first_config import first_config
from souk.ingest.profile import Column
from souk.ingest.remedies import unit_remedy
from tests.test_ingest_first_config import read, write


@pytest.mark.parametrize(
    ("unit", "text", "same"),
    [
        ("mdy", "11/13/2019 5:09:43 PM", "2019-11-13T17:09:43"),
        ("mdy", "11/13/2019 12:00:00 AM", "2019-11-13"),
        ("mdy", "12/1/2010 12:26 pm", "2010-12-01T12:26"),
        ("mdy", "12/1/2010 8:26", "2010-12-01T08:26"),
        ("dmy", "31.12.2024", "2024-12-31"),
        ("dmy", "1.12.2024 08:26:05.250", "2024-12-01T08:26:05.250"),
        ("dmy", "01/02/2024 08:00+02:00", "2024-02-01T06:00Z"),
        ("dmy", "2024-02-01", "2024-02-01"),
    ],
)
def test_a_day_in_either_order_is_the_day_that_iso_writes(unit: str, text: str, same: str) -> None:
    times, wrong = cells.parse_time(pa.array([text]), unit)
    assert not wrong.any() and times == cells.parse_time(pa.array([same]), "iso")[0]


@pytest.mark.parametrize(("unit", "text"), [("mdy", "31/12/2024"), ("dmy", "12/31/2024"), ("mdy", "1/1/2024 25:00")])
def test_a_day_that_no_calendar_has_is_no_time(unit: str, text: str) -> None:
    assert cells.parse_time(pa.array([text, None]), unit)[1].tolist() == [True, False]


def test_what_stands_for_no_date_does_in_each_order() -> None:
    assert no_dates.stands_for_none(pa.array(["1/1/0001 12:00:00 AM", "1/1/2001"]), "mdy").tolist() == [True, False]


@pytest.mark.parametrize(
    ("days", "unit"),
    [
        (["12/31/2024", "1/2/2024"], "mdy"),
        (["31/12/2024", "1/2/2024"], "dmy"),
        (["1.2.2024", "3.4.2024"], "dmy"),
        (["1/2/2024", "3/4/2024"], ""),
        (["1.2.3", "3.4.5"], ""),
    ],
)
def test_the_days_tell_their_order(days: list[str], unit: str) -> None:
    assert Column("", pa.array(days)).time_unit == unit


def sales(days: list[str]) -> list[dict[str, object]]:
    return [{"user": n % 9, "item": n % 7, "InvoiceDate": days[n % len(days)], "Quantity": 1} for n in range(90)]


def test_init_writes_the_order_and_every_row_is_read(tmp_path: Path) -> None:
    days = [f"11/{day}/2019 {day % 12 + 1}:05 PM" for day in range(1, 31)]
    config = parse_config(first_config(write(sales(days), tmp_path / "e.csv"), None, None, "x").text)
    events = read(config, "events")
    assert config.data.events.timestamp_unit == "mdy" and events.faults == [] and events.table.num_rows == 90
    assert len(set(events.table["timestamp"].to_pylist())) == 30


def test_days_that_tell_no_order_are_told(tmp_path: Path) -> None:
    with pytest.raises(SoukError, match="Nothing tells whether the day or the month is first"):
        first_config(write(sales(["1/2/2019", "3/4/2019"]), tmp_path / "e.csv"), None, None, "x")


def test_the_remedy_names_the_order() -> None:
    assert unit_remedy("events", "iso", "31.12.2024 10:00").startswith("Set data.events.timestamp_unit to dmy, ")
    assert unit_remedy("events", "mdy", "31.12.2024").startswith("Set data.events.timestamp_unit to dmy, ")
    assert "to mdy or dmy, by whether" in unit_remedy("events", "ms", "1/2/2024")
