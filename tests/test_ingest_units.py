"""Times of files in milliseconds, microseconds, seconds or as text: another unit than the declared one is noticed."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from souk.config import Source, parse_config
from souk.errors import SoukError
from souk.ingest.checks import of_later_years
from souk.ingest.faults import Reason
from souk.ingest.item_file import item_rows_of
from souk.ingest.mapping import TableSource
from souk.ingest.reading import Reading, check_times
from souk.readers import delimited
from tests.ingest_fixtures import read_rows
from tests.test_ingest_bad_input import ROWS, events, run

TWO_ENDS = """
name: shop
data:
  events: {path: e}
  items: {path: i, templates: {available_until: "{sold} {off}"}, timestamp_unit: iso}
objectives: {engaged: {events: [click]}, satisfied: {events: [click]}}
"""
MAPPED = {"user_id": "who", "item_id": "what", "timestamp": "when"}


def source(path: Path, unit: str) -> Source:
    return Source(path=str(path), columns=MAPPED, constants={"event_type": "rating"}, timestamp_unit=unit)


@pytest.mark.parametrize(
    ("times", "unit", "remedy"),
    [
        ([1_700_000_000], "ms", "timestamp_unit to s"),
        ([1_700_000_000], "us", "timestamp_unit to s"),
        ([1_700_000_000_000], "us", "timestamp_unit to ms"),
        ([1_700_000_000_000], "s", "timestamp_unit to ms"),
        ([1_700_000_000_000_000], "ms", "timestamp_unit to us"),
        (["2023-11-14T22:13:20Z"], "s", "timestamp_unit to iso"),
        ([20231114, 20231201], "ms", r"such as 20231114, .* Set data.events.timestamp_unit to iso"),
        ([1_700_000_000], "iso", "timestamp_unit to ms, s or us"),
    ],
)
def test_times_in_another_unit_are_noticed(tmp_path: Path, times: list[Any], unit: str, remedy: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps({"who": "u", "what": "i", "when": time}) + "\n" for time in times))
    with pytest.raises(SoukError, match=remedy):
        read_rows("events", source(path, unit), {})


@pytest.mark.parametrize("more", ["", "y" * 200])
def test_a_row_that_an_error_quotes_says_that_it_goes_on(more: str) -> None:
    """A row that was cut in the middle of a word read as a row that is."""
    row = f'{{"when": "x{more}"}}'
    with pytest.raises(SoukError) as error:
        check_times(Source(path="e.csv", timestamp_unit="s"), pa.array([None]), 1.0, row, "x")
    shown = f'{{"when": "x{"y" * 188}…' if more else row
    assert f", as in {shown}. " in str(error.value)


@pytest.mark.parametrize("config", ["s", "ms", "us", "iso"])
@pytest.mark.parametrize("seconds", [946_684_800, 1_700_000_000])
@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_the_unit_of_the_file_is_named(tmp_path: Path, config: str, seconds: int, unit: str, scale: int) -> None:
    """Microseconds were to be written out by hand, and nanoseconds to be milliseconds."""
    value = str(seconds * scale)
    (tmp_path / "e.csv").write_text("what,who,when\n" + f"i,u,{value}\n" * 3)
    given = source(tmp_path / "e.csv", config)
    (rows,) = Reading(TableSource("events", given, {}))
    unread = sum(len(each.rows) for each in rows.faults if each.reason is Reason.TYPE) / 3
    if unit == config:
        assert unread == 0 and rows.table["timestamp"].to_pylist() == [seconds * 1000] * 3
        return
    key = "data.events.timestamp_unit"
    told = (
        f"nanoseconds: divide them by 1,000 in the file, and set {key} to us" if unit == "ns" else f"{unit}: set {key}"
    )
    with pytest.raises(SoukError, match=f"They look like {told}"):
        check_times(given, rows.table["timestamp"], unread, value=value if unread else "")


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_a_duration_says_its_unit_itself(tmp_path: Path, unit: str) -> None:
    stayed = pa.array([5_000, None], pa.duration("ms"))
    table = {"who": ["u", "v"], "what": ["i", "j"], "when": [1_700_000_000_000] * 2, "stayed": stayed}
    parquet.write_table(pa.table(table), tmp_path / "e.parquet")
    given = source(tmp_path / "e.parquet", "ms").model_copy(
        update={"columns": MAPPED | {"dwell_seconds": "stayed"}, "dwell_unit": unit}
    )
    assert read_rows("events", given, {}).table["dwell_seconds"].to_pylist() == [5.0, None]
    late = given.model_copy(update={"columns": MAPPED | {"timestamp": "stayed"}})
    with pytest.raises(SoukError, match=r"Received: a column of duration\[ms\] in e\.parquet\. Map another column"):
        read_rows("events", late, {})


@pytest.mark.parametrize(
    ("times", "unit", "refused"),
    [
        ([1_700_000_000_000, 1_700_000_001, 1_700_000_002_000], "ms", [1]),
        ([1_700_000_000_000_000, 1_700_000_001_000, 1_700_000_002_000_000], "us", [1]),
        ([1_700_000_000, 1_700_000, 1_700_000_002], "s", [1]),
        ([4_000_000_000, 9_000_000_000, 20_000_000_000], "ms", []),  # a clock that began at 0
        (["2023-11-14", "1970-01-20T16:13:20Z", "2023-11-15"], "iso", [1]),  # as who took seconds for milliseconds
        ([1_700_000_001, 1_700_000_002, 1_700_000_000_000, 1_700_000_000_000], "ms", [0, 1]),  # of most, both may be
    ],
)
def test_a_time_in_another_unit_than_most_is_refused_alone(
    tmp_path: Path, times: list[Any], unit: str, refused: list[int]
) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps({"who": "u", "what": "i", "when": time}) + "\n" for time in times))
    read = read_rows("events", source(path, unit), {})
    assert {(f.reason, f.column): f.rows.tolist() for f in read.faults} == (
        {(Reason.UNIT, "timestamp"): refused} if refused else {}
    )


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_a_part_in_another_unit_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """A file of several, or as much of one as is read at a time, as after a change of the exporter."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    old, new = events(timestamp=1_700_000_000 + np.arange(ROWS)), events(ROWS, 2 * ROWS)
    parts = [pa.concat_tables([old, new])] if whole else [old, new]
    (tmp_path / "events").mkdir()
    for number, part in enumerate(parts):
        csv.write_csv(part, tmp_path / f"events/{number}.csv")
    counts = run(tmp_path, "data: {events: {path: events}}\ningest: {quarantine_threshold: 0.4}")["events"]
    assert (counts["accepted"], counts["reasons"]) == (2 * ROWS, {"unit timestamp": ROWS})


@pytest.mark.parametrize("first", [1_700_000_000_000, 900_000_000_000])
@pytest.mark.parametrize("none", [0, 59_000])
def test_a_zero_among_times_of_later_years_is_no_event_of_1970(tmp_path: Path, none: int, first: int) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps({"who": "u", "what": "i", "when": time}) + "\n" for time in (first, none)))
    read = read_rows("events", source(path, "ms"), {})
    assert [(f.reason, f.column, f.rows.tolist()) for f in read.faults] == [(Reason.RANGE, "timestamp", [1])]


@pytest.mark.parametrize("none", [[0], [-1], [0] * 900, [0, 0, -1, None]])
@pytest.mark.parametrize("unit", ["ms", "us"])
def test_times_in_another_unit_are_noticed_beside_those_that_say_none(unit: str, none: list[int | None]) -> None:
    scale = {"ms": 1, "us": 1000}[unit]
    times = pa.array([(1_700_000_000 + 60 * n) // scale for n in range(599)] + none, pa.int64())
    with pytest.raises(SoukError, match=r"dates around .* January 1970\. They look like s"):
        check_times(Source(path="e.csv", timestamp_unit=unit), times, 0.0)


def test_days_without_signs_are_noticed_beside_a_zero() -> None:
    with pytest.raises(SoukError, match=r"such as 20231114, .* Set data.events.timestamp_unit to iso"):
        check_times(Source(path="e.csv"), pa.array([0, 20231114, 20231201]), 0.0)


@pytest.mark.parametrize("step", [1, 60_000, 4_000_000])
@pytest.mark.parametrize("rows", [2, 1000])
def test_a_clock_that_begins_at_0_has_its_unit(rows: int, step: int) -> None:
    times = pa.array([step * n for n in range(rows)])
    check_times(Source(path="e.csv"), times, 0.0)
    assert not of_later_years(times)


@pytest.mark.parametrize("power", [0.5, 0.33])
def test_a_clock_from_0_of_a_log_that_grows_has_its_unit(power: float) -> None:
    """Linearly, and with the square."""
    draws = np.random.default_rng(0).random(20_000)
    times = np.r_[0, np.sort((30 * 86_400_000 * draws**power).astype(np.int64))]
    check_times(Source(path="e.csv"), pa.array(times), 0.0)


@pytest.mark.parametrize("arrived", [0, 1_700_000_000])
def test_when_an_event_was_known_refuses_none(tmp_path: Path, arrived: int) -> None:
    """Nothing is learned from it, and 0 is what numbers are that nobody has set."""
    row = {"user_id": "u", "item_id": "i", "event_type": "click", "timestamp": 1_700_000_000_000, "arrived_at": arrived}
    path = tmp_path / "e.jsonl"
    path.write_text((json.dumps(row) + "\n") * 3)
    assert read_rows("events", Source(path=str(path)), {}).faults == []


def test_times_that_all_say_none_stop() -> None:
    with pytest.raises(SoukError, match="0 or less in each row"):
        check_times(Source(path="e.csv", timestamp_unit="s"), pa.array([0, 0, -1, None]), 0.0)


def test_of_two_units_the_right_one_of_most_is_told_with_the_other() -> None:
    times = pa.array([1_700_000_000] * 6 + [1_700_000_000_000] * 4)
    with pytest.raises(SoukError, match=r"40.0% of later years. Most look like s: write all in one unit"):
        check_times(Source(path="e.csv"), times, 0.0)


def test_dates_have_no_unit_and_items_may_be_of_1970(tmp_path: Path) -> None:
    early = pa.array([1_700_000_000] * 2, pa.timestamp("ms"))
    parquet.write_table(pa.table({"who": ["u", "v"], "what": ["i", "j"], "when": early}), tmp_path / "e.parquet")
    assert read_rows("events", source(tmp_path / "e.parquet", "iso"), {}).faults == []
    (tmp_path / "i.jsonl").write_text('{"item_id": "a", "created_at": 1700000000}\n')
    assert read_rows("items", Source(path=str(tmp_path / "i.jsonl")), {}).faults == []


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        (["2024-05-31", "2024-05-31T00:00:00Z", None], [1_717_199_999_999, 1_717_113_600_000, None]),
        ([date(2024, 5, 31), None, None], [1_717_199_999_999, None, None]),
        ([datetime(2024, 5, 31), None, None], [1_717_113_600_000, None, None]),
    ],
)
def test_an_end_that_is_a_date_is_the_last_moment_of_the_day(
    tmp_path: Path, ends: list[Any], last: list[int | None]
) -> None:
    table = pa.table({"item_id": ["a", "b", "c"], "available_until": ends, "created_at": ends})
    parquet.write_table(table, tmp_path / "i.parquet")
    read = read_rows("items", Source(path=str(tmp_path / "i.parquet"), timestamp_unit="iso"), {})
    assert not read.faults and read.table["available_until"].to_pylist() == last
    assert read.table["created_at"].to_pylist()[0] == 1_717_113_600_000


@pytest.mark.parametrize(
    ("day", "zone"),
    [
        ("2024-03-31", "Europe/Berlin"),  # of 23 hours
        ("2024-10-27", "Europe/Berlin"),  # of 25
        ("2024-04-26", "Africa/Cairo"),  # without its midnight
    ],
)
def test_the_last_moment_of_a_day_is_that_of_its_clocks(tmp_path: Path, day: str, zone: str) -> None:
    (tmp_path / "i.csv").write_text(f"item_id,available_until\na,{day}\n")
    source = Source(path=str(tmp_path / "i.csv"), timestamp_unit="iso", timezone=zone)
    read = read_rows("items", source, {})
    expected = datetime.combine(date.fromisoformat(day), datetime.max.time(), ZoneInfo(zone)).timestamp()
    assert not read.faults and read.table["available_until"].to_pylist() == [int(expected * 1000)]


def test_a_template_of_ends_is_of_columns_alone(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id,day\na,2024-05-31\n")
    source = Source(path=str(tmp_path / "i.csv"), templates={"available_until": "{day}T18:00:00"}, timestamp_unit="iso")
    with pytest.raises(SoukError, match="to name columns, of which the earliest counts"):
        TableSource("items", source, {}).check_names()


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("item_id,sold", "a,2024-05-02", {"available_until": 1_714_694_399_999}),
        ("item_id,price", "a,3", {"price": 3.0}),
        ("item_id,sold,off", "a,,", {"available_until": None}),
    ],
)
def test_a_row_for_a_server_says_of_its_end_what_it_has(
    tmp_path: Path, header: str, row: str, said: dict[str, Any]
) -> None:
    (tmp_path / "i.csv").write_text(f"{header}\n{row}\n")
    rows = [row.value for row in item_rows_of(str(tmp_path / "i.csv"), parse_config(TWO_ENDS))]
    assert rows == [{"item_id": "a", **said}]


def test_of_several_ends_the_earliest_counts(tmp_path: Path) -> None:
    """Sold before, sold after, never sold, neither, and a time that cannot be read."""
    path = tmp_path / "i.csv"
    rows = [
        "a,2024-05-02 10:00,2024-05-09",
        "b,2024-05-20 10:00,2024-05-09",
        "c,,2024-05-09",
        "d,,",
        "e,soon,2024-05-09",
    ]
    path.write_text("\n".join(["item_id,sold,off", *rows, ""]))
    source = Source(path=str(path), templates={"available_until": "{sold} {off}"}, timestamp_unit="iso")
    read = read_rows("items", source, {})
    day = 1_715_299_199_999  # the last moment of 9 May
    assert read.table["available_until"].to_pylist()[:4] == [1_714_644_000_000, day, day, None]
    assert [(fault.reason, fault.column, fault.rows.tolist()) for fault in read.faults] == [
        (Reason.TYPE, "available_until", [4])
    ]
    assert not read.ignored


def test_an_end_of_several_that_cannot_be_read_goes_to_the_server_as_it_is(tmp_path: Path) -> None:
    """Not as null, which would clear the end that it knows."""
    (tmp_path / "i.csv").write_text("item_id,sold,off\na,soon,2024-05-09\nb,,2024-05-09\n")
    rows = [row.value for row in item_rows_of(str(tmp_path / "i.csv"), parse_config(TWO_ENDS))]
    assert [row["available_until"] for row in rows] == ["soon 2024-05-09", 1_715_299_199_999]
