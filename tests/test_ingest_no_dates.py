"""Dates that systems write for none: read as missing where a time may be missing, and told."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source
from souk.ingest import no_dates
from souk.ingest.live import ItemCheck
from souk.ingest.mapping import TableSource
from souk.schema import DAY_MS
from tests.ingest_fixtures import read_rows
from tests.test_ingest_first_config import init, write
from tests.test_ingest_init_items import clicks
from tests.test_ingest_step import CONFIG, Shop

FIRST_DAY_MS = -62_135_596_800_000
END = 1_717_113_600_000  # 2024-05-31


def read(folder: Path, rows: list[dict[str, Any]], **keys: Any) -> Any:
    (folder / "i.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_rows("items", Source(path=str(folder / "i.jsonl"), **keys), {})


@pytest.mark.parametrize(
    ("unit", "none", "some"),
    [
        ("iso", "0001-01-01", "2024-05-31T00:00:00Z"),
        ("iso", "0001-01-01T00:00:00", "2024-05-31T00:00:00Z"),
        ("iso", " 0001-01-01 00:00:00+02:00", "2024-05-31T00:00:00Z"),
        ("iso", "0000-00-00 00:00:00", "2024-05-31T00:00:00Z"),
        ("iso", "0000-12-31T23:00:00Z", "2024-05-31T00:00:00Z"),
        ("ms", FIRST_DAY_MS, END),
        ("ms", FIRST_DAY_MS + 7_200_000, END),
        ("ms", FIRST_DAY_MS - 3_600_000, END),
        ("s", FIRST_DAY_MS // 1000, END // 1000),
        ("us", FIRST_DAY_MS * 1000, END * 1000),
    ],
)
def test_a_date_that_stands_for_none_is_missing(tmp_path: Path, unit: str, none: Any, some: Any) -> None:
    rows = [{"item_id": "a", name: time} for time in (none, some) for name in ("created_at", "available_until")]
    found = read(tmp_path, rows, timestamp_unit=unit)
    assert found.faults == []
    assert found.table["created_at"].to_pylist() == [None, None, END, None]
    assert found.table["available_until"].to_pylist() == [None, None, None, END]


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ms"), pa.timestamp("us", "Europe/London")])
def test_columns_of_dates_have_it_too(tmp_path: Path, kind: pa.DataType) -> None:
    times = pa.array([dt.datetime(1, 1, 1), dt.datetime(2024, 5, 31), None], pa.timestamp("us")).cast(kind)
    parquet.write_table(pa.table({"item_id": list("abc"), "created_at": times}), tmp_path / "i.parquet")
    found = read_rows("items", Source(path=str(tmp_path / "i.parquet")), {})
    assert found.faults == [] and found.table["created_at"].to_pylist() == [None, END, None]


@pytest.mark.parametrize("array", [
    pa.array(["0001-01-02", "0000-12-31", "0000-12-30T23:00:00Z"]),
    pa.array([dt.date(1, 1, 2), dt.date(2, 1, 1)]),
    pa.array([FIRST_DAY_MS + DAY_MS, FIRST_DAY_MS - DAY_MS, 0]),
    pa.array([FIRST_DAY_MS + DAY_MS, 0], pa.timestamp("ms")),
])  # fmt: skip
def test_other_days_do_not_stand_for_none(array: pa.Array) -> None:
    unit = "iso" if pa.types.is_string(array.type) else "ms"
    assert not no_dates.stands_for_none(array, unit).any()


def test_other_days_of_the_first_year_are_faults(tmp_path: Path) -> None:
    found = read(tmp_path, [{"item_id": "a", "created_at": "0001-01-02"}], timestamp_unit="iso")
    assert [str(each.reason) for each in found.faults] == ["type"]


def test_the_arrival_of_an_event_may_be_none(tmp_path: Path) -> None:
    events = {"user_id": "u", "item_id": "i", "event_type": "click", "timestamp": END}
    rows = [events | {"arrived_at": time} for time in (FIRST_DAY_MS, END)]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_rows("events", Source(path=str(tmp_path / "e.jsonl")), {})
    assert found.faults == [] and found.table["arrived_at"].to_pylist() == [None, END]
    assert no_dates.counted(TableSource("events", Source(path=""), {}), found.batches[0]) == {"arrived_at": 1}


def test_of_two_ends_the_one_that_there_is_counts(tmp_path: Path) -> None:
    rows = [{"item_id": "a", "sold": "0001-01-01", "off": "2024-05-31T00:00:00Z"}]
    keys = {"templates": {"available_until": "{sold} {off}"}, "timestamp_unit": "iso"}
    found = read(tmp_path, rows, **keys)
    assert found.faults == [] and found.table["available_until"].to_pylist() == [END]
    table = TableSource("items", Source(path="", **keys), {})
    assert no_dates.counted(table, found.batches[0]) == {"created_at": 0, "available_until": 1}


@pytest.mark.parametrize(
    ("template", "rows"),
    [
        ("{y}-{m}-{d}", [{"y": "0001", "m": "01", "d": "01"}, {"y": "2024", "m": "05", "d": "31"}, {"y": None}]),
        ("{day}T{clock}", [{"day": "0001-01-01", "clock": "00:00"}, {"day": "2024-05-31", "clock": "00:00"}, {}]),
        ("{day}", [{"day": "0000-00-00"}, {"day": "2024-05-31"}, {"day": None}]),
    ],
)
def test_a_time_that_is_made_of_several_columns_is_counted_as_it_is_made(
    tmp_path: Path, template: str, rows: list[dict[str, Any]]
) -> None:
    keys: dict[str, Any] = {"templates": {"created_at": template}, "timestamp_unit": "iso"}
    found = read(tmp_path, [{"item_id": f"i{n}", **row} for n, row in enumerate(rows)], **keys)
    assert found.faults == [] and found.table["created_at"].to_pylist() == [None, END, None]
    table = TableSource("items", Source(path="", **keys), {})
    assert no_dates.counted(table, found.batches[0]) == {"created_at": 1, "available_until": 0}


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_they_are_counted_and_told_and_an_event_needs_a_time(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path, CONFIG.replace("items: {path: items.jsonl}", "items: {path: items.jsonl, timestamp_unit: iso}")
    )
    shop.write("b,u1,i1,click,-62135596800,web")
    rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    none = {"available_until": "0001-01-01T00:00:00", "created_at": "2023-01-01"}
    rows = [row | (none if n < 3 else {"created_at": "0001-01-01"}) for n, row in enumerate(rows)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = shop.ingest()
    (refused,) = shop.table("quarantine/events").to_pylist()
    assert metrics["items_quarantined"] == 0 and (refused["reason"], refused["column"]) == ("range", "timestamp")
    report = (tmp_path / "1/report.html").read_text()
    words = "of 0001-01-01 or 0000-00-00, which stand for none, are read as missing"
    assert f"items: 7 created_at {words}" in report and f"items: 3 available_until {words}" in report
    assert "arrived_at of 0001" not in report


def test_who_sends_a_row_to_a_server_says_null() -> None:
    """An end that cannot be is refused there, and clears none."""
    rows = [{"item_id": "a", "available_until": time} for time in (FIRST_DAY_MS, None, END)]
    _, refused = ItemCheck({}, {}).check(rows, ())
    assert list(refused) == [0] and "available_until of at least 0" in refused[0]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_first_config_knows_times_of_which_most_are_none(tmp_path: Path, kind: str) -> None:
    times = [dt.date(1, 1, 1) if n % 3 else dt.date(2024, 5, 31) for n in range(30)]
    goods = [{"item": f"a{n}", "valid_until": str(day) if kind == "csv" else day} for n, day in enumerate(times)]
    path = tmp_path / f"i.{kind}"
    if kind == "csv":
        write(goods, path)
    else:
        parquet.write_table(pa.Table.from_pylist(goods), path)
    _, config = init(tmp_path, write(clicks(), tmp_path / "e.csv"), str(path))
    assert config.data.items is not None and config.data.items.columns["available_until"] == "valid_until"
