"""Accepted events that a wrong config reads: shared requests, exchanged event types."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest import sample
from souk.ingest.odd.events import odd_events, shared_requests, timed_impressions
from souk.schema import DAY_MS
from tests.test_ingest_step import GOOD, Shop


def slates(users: list[str], days: list[float], kind: str = "impression") -> pa.Table:
    """Two rows of each of ten requests: the first slates as they are given, the others each of one user at one time."""
    count = 10 - len(users) // 2
    users = users + [f"u{n // 2}" for n in range(2 * count)]
    times = [int(day * DAY_MS) for day in days + [5] * 2 * count]
    requests = [f"r{n // 2}" for n in range(20)]
    return pa.table({"request_id": requests, "user_id": users, "timestamp": times, "event_type": [kind] * 20})


def alone(count: int) -> pa.Table:
    """Requests with one impression each."""
    rows = {"request_id": [f"s{n}" for n in range(count)], "user_id": ["a"] * count}
    return pa.table({**rows, "timestamp": [5 * DAY_MS] * count, "event_type": ["impression"] * count})


def without_id(count: int) -> pa.Table:
    """Impressions of many users and days, of no known request."""
    rows = {"request_id": pa.nulls(count, pa.string()), "user_id": [f"u{n}" for n in range(count)]}
    return pa.table({**rows, "timestamp": [n * DAY_MS for n in range(count)], "event_type": ["impression"] * count})


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (slates([], []), ""),
        (slates(["a", "b"] * 2, [5] * 4), ""),  # two of ten are no more than a fifth
        (slates(["a", "b"] * 3, [5] * 6), "of 10 request_id with several impressions 3 have several users, and 0 last"),
        (slates(["a", "a"] * 3, [5, 6.1] * 3), "10 request_id with several impressions 0 have several users, and 3 la"),
        (slates(["a", "a"] * 3, [5, 5.9] * 3), ""),
        (slates(["a", "b", "a", "a", "c", "c"], [5, 5, 5, 7, 5, 7]), "1 have several users, and 2 last"),
        (slates(["a", "b"] * 3, [5, 9] * 3, "purchase"), ""),  # days after what was shown
        (slates(["a", "b"] * 3, [5] * 6).drop_columns("request_id"), ""),
        (slates(["a", "b"] * 3, [5, 6] * 3), "3 have several users, and 0 last"),  # a day is no more than one
        (pa.concat_tables([slates(["a", "b"] * 3, [5] * 6), alone(20)]), "of 10 request_id"),
        (pa.concat_tables([slates(["a", "b"] * 2, [5] * 4), without_id(9)]), ""),
    ],
)
def test_requests_that_share_an_id(rows: pa.Table, told: str) -> None:
    found = list(shared_requests(rows))
    assert len(found) == bool(told) and all(told in line for line in found), found


@pytest.mark.parametrize(
    ("impressions", "clicks", "told"),
    [
        ([5.0, 6.0, None, 0.0], [None, 0.0], "2 of 4 impressions have dwell_seconds, and none of 2 clicks: does event"),
        ([5.0, None, None, None, None], [None], ""),  # a fifth
        ([5.0, 6.0], [None, 7.0], ""),
        ([5.0, 6.0], [], ""),
        ([None, None], [5.0], ""),
    ],
)
def test_impressions_with_dwell_times_and_clicks_without(
    impressions: list[float | None], clicks: list[float | None], told: str
) -> None:
    kinds = ["impression"] * len(impressions) + ["click"] * len(clicks)
    rows = pa.table({"event_type": kinds, "dwell_seconds": pa.array(impressions + clicks, pa.float64())})
    found = list(timed_impressions(rows))
    assert len(found) == bool(told) and all(told in line for line in found), found
    assert not list(timed_impressions(rows.drop_columns("dwell_seconds")))


def test_many_events_are_told_by_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table(
        {"event_type": ["impression", "click"] * 50, "dwell_seconds": pa.array([9, None] * 50, pa.float64())}
    )
    rows = rows.append_column("timestamp", pa.array(range(100)))
    parquet.write_table(rows, tmp_path / "events.parquet")
    assert [line.partition("?")[2] for line in odd_events(tmp_path / "events.parquet")] == [""]
    few = rows.take(pa.array([*range(0, 100, 2), *range(1, 100, 2)]))
    parquet.write_table(few, tmp_path / "events.parquet")
    monkeypatch.setattr(sample.Sample.__init__, "__defaults__", (50,))
    found = list(odd_events(tmp_path / "events.parquet"))
    assert found[0].startswith("events: 25 of 25 impressions") and found[0].endswith("?, in a sample of 50 events")


@pytest.mark.slow  # imports TensorFlow Data Validation
def test_the_step_tells_them_in_log_and_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Numbers of requests that begin anew each day, each of two impressions that were read for 9 seconds."""
    shop = Shop(tmp_path)
    shop.write()
    start = 1_700_000_000 - 20 * 86_400
    lines = [
        f"e{n},u{n % 7},i{n % 11},{'impression' if n % 4 else 'click'},{start + n // 40 * 86_400},web,{n % 4},{n % 20},"
        f"{9 if n % 4 else ''}"
        for n in range(GOOD)
    ]
    header = "event_id,user_id,product,event_type,timestamp,device,position,request_id,dwell_seconds"
    (tmp_path / "events.csv").write_text("\n".join([header, *lines]) + "\n")
    shop.ingest()
    log, report = "".join(capfd.readouterr()), (tmp_path / "1/report.html").read_text()
    for told in (
        "events: of 15 request_id with several impressions 15 have several users, and 15 last more than a day; what",
        "events: 300 of 300 impressions have dwell_seconds, and none of 100 clicks: does event_types",
    ):
        assert told in log and told in report


DAYS = [n / 10 for n in range(200)]


@pytest.mark.parametrize(
    ("days", "late", "latest"),
    [
        (DAYS, 0, ""),
        ([*DAYS, 29], 0, ""),  # half of 20 days after the others, and no more
        ([*DAYS, 31], 1, "1970-02-01"),
        ([*DAYS, 400, 9000], 2, "1994-08-23"),
        ([*[19.9 * n / 99 for n in range(100)], 400, 9000], 2, "1994-08-23"),  # nearly one in 50: no way to the next
        ([*DAYS, *[400] * 9], 0, ""),  # more than one in a hundred: they are no errors
        ([*DAYS[:98], 9000], 0, ""),  # of so few
        ([5] * 200 + [9000], 0, ""),  # of which most are of one time
    ],
)
def test_events_long_after_the_others_are_told(tmp_path: Path, days: list[float], late: int, latest: str) -> None:
    times = [int(day * DAY_MS) for day in days]
    rows = {"user_id": ["a"] * len(times), "event_type": ["click"] * len(times), "timestamp": times}
    parquet.write_table(pa.table(rows), tmp_path / "events.parquet", row_group_size=50)
    told = [*odd_events(tmp_path / "events.parquet")]
    assert len(told) == bool(late)
    if late:
        assert told[0].startswith(
            f"events: {late} of {len(days):,} come long after the others, the latest on {latest} 0"
        )
        assert "; those on 1970-01-20 21:35 at the latest: where their dates are wrong, leave them out" in told[0]


def test_events_long_after_the_others_are_counted_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample.Sample.__init__, "__defaults__", (150,))
    test_events_long_after_the_others_are_told(tmp_path, [*DAYS, 400, 9000], 2, "1994-08-23")


def test_events_long_after_the_others_are_counted_in_parts_of_the_file(tmp_path: Path) -> None:
    """One is the last row of a batch that is read, the other the first of the next."""
    days = [19.9 * n / 65_534 for n in range(65_535)]
    test_events_long_after_the_others_are_told(tmp_path, [*days, 400, 9000], 2, "1994-08-23")
