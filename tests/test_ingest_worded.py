"""Times with the name of a month, as programs write them, are read; what people write is not."""

from pathlib import Path

import pyarrow as pa
import pytest

from souk.ingest import cells
from tests.test_ingest_first_config import Table, init, write

AT = 1_333_476_009_000  # 2012-04-03T18:00:09Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue Apr 03 18:00:09 +0000 2012", AT),
        ("Tue Apr 03 10:00:09 -0800 2012", AT),
        ("Tue Apr  3 18:00:09 2012", AT),
        ("Tue Apr 3 18:00:09 UTC 2012", AT),
        ("Tue, 03 Apr 2012 18:00:09 GMT", AT),
        ("3 Apr 2012 20:00:09 +0200", AT),
        ("Sat Dec 31 23:59:00 +0000 2011", 1_325_375_940_000),
        ("Tue Feb 30 18:00:09 +0000 2012", None),
        ("Tue Abc 03 18:00:09 +0000 2012", None),
        ("Posted Apr 3, 2012.", None),
        ("Tue Apr 03 2012", None),
    ],
)
def test_a_time_with_a_month_in_words(text: str, expected: int | None) -> None:
    times, wrong = cells.parse_time(pa.array([text, None, "2012-04-03T18:00:09Z"]), "iso")
    assert times.to_pylist() == [expected, None, AT]
    assert wrong.tolist() == [expected is None, False, False]


def test_a_clock_without_an_offset_is_of_the_time_zone() -> None:
    assert cells.parse_time(pa.array(["Tue Apr  3 20:00:09 2012"]), "iso", "Europe/Berlin")[0].to_pylist() == [AT]


def test_a_first_config_takes_them_for_the_time(tmp_path: Path) -> None:
    rows: Table = [
        {"user_id": n % 9, "book_id": n % 7, "date_added": f"Fri Nov {1 + n % 28:02} 12:00:00 -0800 2017"}
        for n in range(90)
    ]
    text, config = init(tmp_path, write(rows, tmp_path / "e.csv"))
    assert config.data.events.columns["timestamp"] == "date_added" and config.data.events.timestamp_unit == "iso"
    assert "read as UTC" not in text
