"""The step tells what no row is refused for: files that describe other items, and slates without a request."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from souk.config import Source
from souk.ingest.mapping import TableSource
from souk.ingest.notices import lone_places, odd_dates, odd_ends, unmatched, unsplit, unused
from souk.schema import DAY_MS, Kind
from tests.test_ingest_step import CONFIG, GOOD, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.write()
    return made


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_an_items_file_of_other_ids_is_told_in_log_and_report(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    goods = [{"item_id": f"{n:04}", "price": n, "colour": "red"} for n in range(10)]
    (shop.folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in goods))
    metrics = shop.ingest()
    assert (metrics["items_quarantined"], metrics["items"]) == (0, 21)
    told = "items: the file has NONE of the 11 items in events, and 10 others: events have"
    report = (shop.folder / "1/report.html").read_text()
    log = capfd.readouterr()
    assert told in report and told in log.out + log.err
    assert "the file &#x27;0000&#x27;, &#x27;0001&#x27;, &#x27;0002&#x27;" in report


@pytest.mark.slow
def test_files_that_describe_the_events_are_not_told(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    shop.ingest()
    log = capfd.readouterr()
    assert "items in events" not in (shop.folder / "1/report.html").read_text() + log.out + log.err
    shop.config = CONFIG.replace("  items: {path: items.jsonl}\n", "").replace(
        "price: numeric, colour: categorical", ""
    )
    assert shop.ingest(run="2")["items"] == 11
    log = capfd.readouterr()
    assert "items in events" not in log.out + log.err, "there is no file"


@pytest.mark.slow
def test_impressions_with_places_and_no_request_are_told(shop: Shop) -> None:
    lines = [f"e{n},u{n % 7},i{n % 11},impression,{1_700_000_000 + n},web,{n % 4}" for n in range(GOOD)]
    header = "event_id,user_id,product,event_type,timestamp,device,position"
    (shop.folder / "events.csv").write_text("\n".join([header, *lines]) + "\n")
    shop.ingest()
    assert "impressions have a position and no request_id" in (shop.folder / "1/report.html").read_text()


@pytest.mark.slow
def test_a_type_that_is_not_used_and_several_currencies_are_told(shop: Shop) -> None:
    lines = [
        f"e{n},u{n % 7},i{n % 11},{['ver', 'compra'][n % 2]},{1_700_000_000 + n},web,9,{['EUR', 'USD'][n % 2]}"
        for n in range(GOOD)
    ]
    header = "event_id,user_id,product,accion,timestamp,device,value,currency"
    (shop.folder / "events.csv").write_text("\n".join([header, *lines]) + "\n")
    shop.config = CONFIG.replace("timestamp_unit: s}", "timestamp_unit: s, constants: {event_type: click}}")
    shop.ingest()
    report = (shop.folder / "1/report.html").read_text()
    assert "EVERY EVENT IS A CLICK, and the column accion (compra, ver)" in report
    assert "AMOUNTS ARE IN SEVERAL CURRENCIES: currency says EUR 50.0%" in report


@pytest.mark.slow
def test_dates_of_items_that_are_to_come_or_all_the_same_are_told(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last event is of 14 November 2023, 22:19; one of eleven items comes in 2033, nine have one date."""
    dates = [1_600_000_000_000] * 9 + [2_000_000_000_000]
    goods = [{"item_id": f"i{n}", "price": n, "colour": "red", "created_at": date} for n, date in enumerate(dates)]
    (shop.folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in goods))
    shop.ingest()
    log = capfd.readouterr()
    for told in (
        "items: 1 of 11 are created more than a day after the last event, the latest on 2033-05-18 03:33: each",
        "items: 9 of 11 have the same created_at, of 2020-09-13 12:26: that of an import tells no age",
    ):
        assert told in (shop.folder / "1/report.html").read_text() and told in log.out + log.err
    shop.config = CONFIG + "split: {protocol: leave_last_out}\n"
    shop.ingest(run="2")
    assert "created" not in "".join(capfd.readouterr()), "their dates are dropped"


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ([98, 99, 100, 101, None], []),
        (
            [98, 99, 101.01, 120.5, None],
            ["2 of 5 are created more than a day after the last event, the latest on 1970-"],
        ),
        ([90, 90, 90, 91, None], ["3 of 5 have the same created_at, of 1970-04-01"]),
        ([90, 90, 91, 92], []),  # no more than half
        ([90], []),
        ([90, 91, 1e9], ["1 of 3 are created more than a day after the last event, the latest on 8.64e+16:"]),
        ([1e9, None], ["1 of 1 created_at are around 8.64e+16: where they are numbers, data.items.timestamp_unit is"]),
        ([*[19.5 + n / 100 for n in range(9)], 99], ["9 of 10 created_at are around 1970-01-20 12:57: where they"]),
        ([*[19.5 + n / 100 for n in range(8)], 98, 99], []),
        ([*[-19.5 + n / 100 for n in range(9)], 99], ["9 of 10 created_at are around 1969-12-12 12:57: where they"]),
        ([-5000, -4000, 99], []),  # of 1956 and 1959
        (
            [466, 467, 468, None],
            ["3 of 3 created_at are around 1971-04-13 00:00: where they"],
        ),  # a year and a day after
        ([464, 464.5], ["2 of 2 are created more than a day after"]),
        ([0] * 8, ["8 of 8 have the same created_at"]),
    ],
)
def test_which_dates_are_odd(days: list[float | None], told: list[str]) -> None:
    """The last event is on day 100."""
    dates = pa.chunked_array([pa.array([None if day is None else int(day * DAY_MS) for day in days], pa.int64())])
    found = list(odd_dates(dates, 100 * DAY_MS))
    assert len(found) == len(told) and all(words in line for words, line in zip(told, found, strict=True)), found


@pytest.mark.parametrize(
    ("ends", "births", "told"),
    [
        ([98, 105, None], [90, None, 1], []),
        (
            [89, 97, None],
            [90, 98, 99],
            ["2 of 2 with an available_until end before they are created, and are in no slate"],
        ),
        ([89, 97, None], [90, 97, 99], ["1 of 2 with an available_until end before they are created"]),
        (
            [*[19.5] * 9, 99],
            [None] * 10,
            ["9 of 10 available_until are around 1970-01-20 12:00: where they are numbers"],
        ),
        ([90, 0, 95], [None] * 3, ["1 of 3 available_until are around 1970-01-01 00:00: in another unit, or empty"]),
        (
            [90, 0, 9e7],
            [95, None, None],
            ["1 of 3 available_until are around 1970", "1 of 3 avail", "1 of 3 with an avail"],
        ),
        ([9e7, 9.1e7], [None] * 2, ["2 of 2 available_until are around 7.8192e+15: where they are numbers"]),
        ([2.9e6], [None], []),  # the year 9999 says never
        ([None], [5], []),
    ],
)
def test_which_ends_are_odd(ends: list[float | None], births: list[float | None], told: list[str]) -> None:
    """The last event is on day 100."""
    until, created = (
        pa.chunked_array([pa.array([None if day is None else int(day * DAY_MS) for day in days], pa.int64())])
        for days in (ends, births)
    )
    found = list(odd_ends(until, created, 100 * DAY_MS))
    assert len(found) == len(told) and all(words in line for words, line in zip(told, found, strict=True)), found


def test_items_of_a_clock_that_begins_at_0_are_as_early_as_its_events() -> None:
    dates = pa.chunked_array([pa.array([n * DAY_MS for n in range(1, 9)], pa.int64())])
    assert not list(odd_dates(dates, 10 * DAY_MS))


@pytest.mark.parametrize(
    ("name", "known", "told"),
    [("items", 5, False), ("items", 4, True), ("items", 0, False), ("users", 1, False), ("users", 11, False)],
)
def test_how_few_are_few(name: str, known: int, told: bool) -> None:
    seen = pa.array([f"a{n}" for n in range(10)])
    assert bool(list(unmatched(name, pa.array([f"a{n}" for n in range(known)], pa.string()), seen))) == told


def test_both_sides_are_shown_where_they_differ() -> None:
    seen = pa.array(["1", "2"])
    (none,) = unmatched("users", pa.array(["01"]), seen)
    assert "NONE of the 2 users in events, and 1 others: events have '1', '2', the file '01'. What" in none
    assert "(data.events.columns.user_id, data.users.columns.user_id), or write the ids alike" in none
    (few,) = unmatched("items", pa.array(["a"]), pa.array(["b", "a", "c"]))
    assert "1 of the 3 items in events, and 0 others: events have 'b', 'c'. Those that" in few


@pytest.mark.parametrize(
    ("kind", "position", "asked", "told"),
    [("impression", 1, None, 1), ("impression", None, None, 0), ("click", 1, None, 0), ("impression", 1, "r", 0)],
)
def test_places_without_a_request(kind: str, position: int | None, asked: str | None, told: int) -> None:
    rows = pa.table(
        {
            "event_type": pa.array([kind, "click"]),
            "position": pa.array([position, None], pa.int64()),
            "request_id": pa.array([asked, None], pa.string()),
        }
    )
    assert len(list(lone_places("events", rows))) == told
    assert not list(lone_places("items", rows))


@pytest.mark.parametrize(("count", "lines"), [(0, 0), (6, 6), (7, 1), (22, 1)])
def test_many_columns_that_nothing_reads_are_told_in_one_line(count: int, lines: int) -> None:
    names = [f"affinity_{n:02}" for n in range(count)]
    told = list(unused(TableSource("events", Source(path="e.csv"), {}), ["user_id", *names]))
    assert len(told) == lines and sum("affinity_00" in line for line in told) == min(lines, 1)
    assert all(("affinity_19" in line) == line.endswith(" and 2 more") for line in told)


@pytest.mark.parametrize(
    ("kind", "cells", "told"),
    [
        (Kind.LIST, [["a,b"], ["c"], None, ["a,c"]], "none of 3 cells has the separator ';', 2 have ','"),
        (Kind.LIST, [["a"], ["c"], [], ["a"]], "none of 4 cells has the separator ';'"),
        (Kind.LIST, [["a"], ["c", "b"], None], ""),
        (Kind.LIST, [None, None], ""),
        (Kind.PATH, ["a > b", "c", None], "none of 2 cells has the separator ';', 1 have '>'"),
        (Kind.PATH, ["a/b", "c", None], ""),
        (Kind.CATEGORICAL, ["a", "b"], ""),
    ],
)
def test_a_separator_that_no_cell_has(kind: Kind, cells: list[Any], told: str) -> None:
    table = TableSource("items", Source(path="i.csv", separators={"tags": ";"}), {"tags": kind})
    form = pa.list_(pa.string()) if kind is Kind.LIST else pa.string()
    found = list(unsplit(table, pa.table({"tags": pa.array(cells, form)})))
    assert found == ([f"items.tags: {told}"] if told else [])


@pytest.mark.slow
def test_the_step_tells_a_separator_that_no_cell_has_and_two_units_of_money(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [f"e{n},u{n % 7},i{n % 11},purchase,{1_700_000_000 + n},web,{n % 11 * 100}" for n in range(GOOD)]
    header = "event_id,user_id,product,event_type,timestamp,device,value"
    (shop.folder / "events.csv").write_text("\n".join([header, *lines]) + "\n")
    goods = [{"item_id": f"i{n}", "price": n, "colour": "red,blue"} for n in range(11)]
    (shop.folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in goods))
    shop.config = CONFIG.replace("colour: categorical", "colour: list")
    shop.config = shop.config.replace("path: items.jsonl", 'path: items.jsonl, separators: {colour: "|"}')
    shop.ingest()
    log, report = "".join(capfd.readouterr()), (shop.folder / "1/report.html").read_text()
    assert "items.colour: none of 11 cells has the separator '|', 11 have ','" in log
    assert all("events: the value of purchases is 100 times the price of items" in told for told in (log, report))
