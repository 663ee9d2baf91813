"""Times of files in milliseconds, microseconds, seconds or as text: another unit than the declared one is noticed."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.config import Source
from souk.errors import SoukError
from souk.ingest.faults import Reason
from tests.ingest_fixtures import read_rows

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
        ([1_700_000_000], "iso", "timestamp_unit to ms, s or us"),
    ],
)
def test_times_in_another_unit_are_noticed(tmp_path: Path, times: list[Any], unit: str, remedy: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps({"who": "u", "what": "i", "when": time}) + "\n" for time in times))
    with pytest.raises(SoukError, match=remedy):
        read_rows("events", source(path, unit), {})


@pytest.mark.parametrize(
    ("times", "unit", "refused"),
    [
        ([1_700_000_000_000, 1_700_000_001, 1_700_000_002_000], "ms", [1]),
        ([1_700_000_000_000_000, 1_700_000_001_000, 1_700_000_002_000_000], "us", [1]),
        ([1_700_000_000, 1_700_000, 1_700_000_002], "s", []),
        ([4_000_000_000, 9_000_000_000, 20_000_000_000], "ms", []),  # a clock that began at 0
        (["2023-11-14", "1970-01-20T16:13:20Z", "2023-11-15"], "iso", []),
    ],
)
def test_a_time_in_another_unit_than_most_is_refused_alone(
    tmp_path: Path, times: list[Any], unit: str, refused: list[int]
) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text("".join(json.dumps({"who": "u", "what": "i", "when": time}) + "\n" for time in times))
    read = read_rows("events", source(path, unit), {})
    assert [(f.reason, f.column, f.rows.tolist()) for f in read.faults] == [
        (Reason.UNIT, "timestamp", refused) for _ in refused
    ]


def test_dates_have_no_unit_and_items_may_be_of_1970(tmp_path: Path) -> None:
    early = pa.array([1_700_000_000] * 2, pa.timestamp("ms"))
    parquet.write_table(pa.table({"who": ["u", "v"], "what": ["i", "j"], "when": early}), tmp_path / "e.parquet")
    assert read_rows("events", source(tmp_path / "e.parquet", "iso"), {}).faults == []
    (tmp_path / "i.jsonl").write_text('{"item_id": "a", "created_at": 1700000000}\n')
    assert read_rows("items", Source(path=str(tmp_path / "i.jsonl")), {}).faults == []
