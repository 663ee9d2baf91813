"""How long a history the models look at follows from what users do."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.features.history import history_length
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
