"""Times by another clock than the config says are told where a shop's day is night."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from souk.ingest.odd.events import odd_events
from souk.ingest.odd.hours import odd_hours

# Of a hundred events, how many come in each hour of a shop's own clock: it sleeps from 2 to 6, and is busy at 20.
DAY = [2, 1, 0, 0, 0, 0, 1, 2, 4, 5, 5, 6, 6, 5, 5, 5, 5, 6, 7, 8, 9, 8, 6, 4]
PACIFIC, EASTERN, TOKYO, PARIS = "America/Los_Angeles", "America/New_York", "Asia/Tokyo", "Europe/Paris"


def times(hours=DAY, days=20, lived="UTC", written=None, read=None):
    """Events of a shop with the clock `lived`; the file has local times of `written`, which are read as of `read`."""
    start = pd.Timestamp("2024-01-08", tz=lived)
    own = [
        start + pd.Timedelta(days=day, hours=hour, minutes=n)
        for day in range(days)
        for hour, count in enumerate(hours)
        for n in range(count)
    ]
    found = pd.DatetimeIndex(own).tz_convert(written or lived)
    return found.tz_localize(None).tz_localize(read or written or lived).tz_convert("UTC").as_unit("ms").asi8


@pytest.mark.parametrize(
    ("given", "timezone", "told"),
    [
        (
            {"lived": PACIFIC, "written": "UTC", "read": PACIFIC},
            PACIFIC,
            "32% come from 2 to 6 at night, and 0.0% from 10",
        ),
        ({"lived": TOKYO, "written": "UTC", "read": TOKYO}, TOKYO, "from 2 to 6 at night, and 0.0% from 17 to 21"),
        ({"lived": PARIS}, PACIFIC, "from 2 to 6 at night, and 0.0% from 17 to 21"),  # times that name their zone
        ({"lived": PACIFIC}, PACIFIC, ""),
        ({"lived": TOKYO}, TOKYO, ""),
        ({"lived": EASTERN, "written": "UTC", "read": EASTERN}, EASTERN, "and 0.0% from 7 to 11"),
        ({"lived": PARIS, "written": PARIS, "read": PACIFIC}, PACIFIC, ""),  # a clock of another place looks right
        ({"lived": PACIFIC, "written": "UTC", "read": PACIFIC}, "UTC", ""),  # none is said
        ({"hours": [5] * 24, "lived": PARIS}, PACIFIC, ""),  # made up
        ({"hours": [100] + [0] * 23, "lived": "UTC"}, "Europe/Athens", ""),  # dates alone, at 2 there
        ({"hours": [0, 0, 60] + [0] * 10 + [20] * 3 + [0] * 8, "lived": PARIS}, PARIS, ""),  # a job of each night
        ({"lived": PARIS, "days": 5, "hours": [2 * n for n in DAY]}, PACIFIC, ""),  # less than a week
        ({"lived": PARIS, "days": 9}, PACIFIC, ""),  # 900 events
        ({"lived": PARIS, "hours": [n + 1 for n in DAY]}, PACIFIC, "3.2% from"),  # somebody is always awake
        ({"lived": PARIS, "hours": [n + 2 for n in DAY]}, PACIFIC, ""),
    ],
)
def test_a_day_that_is_night_is_told(given, timezone, told):
    lines = list(odd_hours(times(**given), timezone))
    assert len(lines) == bool(told) and all(told in line for line in lines), lines


@pytest.mark.parametrize("kind", ["impression", "click"])
def test_what_users_did_counts(tmp_path, kind):
    """Impressions may be logged by a job."""
    day, night = times(lived=PACIFIC), times(lived=PARIS, days=200)
    rows = {"event_type": ["click"] * len(day) + [kind] * len(night), "timestamp": np.concatenate([day, night])}
    parquet.write_table(pa.table(rows), tmp_path / "events.parquet")
    told = [line for line in odd_events(tmp_path / "events.parquet", PACIFIC) if "by the clock of" in line]
    assert len(told) == (kind == "click")
