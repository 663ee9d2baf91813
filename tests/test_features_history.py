"""How long a history the models look at, and whether they look at the hour, follows from what users do."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.features.history import history_length, timed
from souk.schema import DAY_MS
from tests.features_fixtures import bazaar, spec_of


@pytest.mark.parametrize(
    ("counts", "length"),
    [
        ([1], 32),
        ([31] * 4, 32),
        ([32] * 4, 64),
        ([10, 10, 10, 33], 32),
        ([10, 60, 60, 60], 64),
        ([70] * 5, 128),
        ([9_000] * 5, 128),
    ],
)
def test_it_holds_all_that_most_users_did(tmp_path, counts, length):
    users = [f"u{user}" for user, count in enumerate(counts) for _ in range(count)]
    kinds = ["click"] * len(users)
    shown = 500  # impressions are no history
    late = 500  # and what comes after the start of validation may not choose
    table = pa.table(
        {
            "user_id": users + ["u0"] * shown + users[:1] * late,
            "event_type": kinds + ["impression"] * shown + ["click"] * late,
            "timestamp": [9] * (len(users) + shown) + [10] * late,
        }
    )
    pq.write_table(table, tmp_path / "events.parquet", row_group_size=7)
    assert history_length(tmp_path / "events.parquet", spec_of(bazaar()), before=10) == length


@pytest.mark.parametrize(("hours", "told"), [(0, False), (10, False), (12, True), (100, True)])
@pytest.mark.parametrize("midnights", [1, 2])
def test_times_of_day_are_told_where_more_than_a_tenth_of_the_engagements_have_one(tmp_path, hours, told, midnights):
    """Of a hundred before validation; summer time makes two midnights. Later ones, and looks, do not choose."""
    days = np.arange(200) * DAY_MS + 3_600_000 * (np.arange(200) % midnights)
    days[:hours] += 60_000 * np.arange(1, hours + 1)
    days[100:] += 60_000 * np.arange(1, 101)
    looks = np.arange(100) * DAY_MS + 77 * np.arange(100)
    kinds = ["click"] * 200 + ["impression"] * 100
    table = pa.table({"event_type": kinds, "timestamp": [*days, *looks]})
    pq.write_table(table, tmp_path / "events.parquet", row_group_size=7)
    assert timed(tmp_path / "events.parquet", spec_of(bazaar()), before=int(days[100])) == told
