"""A test window with too few users for a verdict is told before anything is trained, with the split that would do."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.config import Objective, Objectives, Split
from souk.features.few_users import few_users
from souk.features.windows import split_windows
from souk.schema import EventType
from tests.models_fixtures import cycle_spec


def told(tmp_path, users, least=20, test=0.1):
    """A click an hour by each of `users` in turn, among impressions of others; the test window has 20 of 200."""
    times, clicks = np.arange(200) * 3_600_000, Objective(events=(EventType.CLICK,))
    rows = {
        "user_id": [*(f"u{n % users}" for n in range(200)), *(f"i{n}" for n in range(200))],
        "event_type": ["click"] * 200 + ["impression"] * 200,
        "timestamp": np.tile(times, 2),
    }
    pq.write_table(pa.table(rows), tmp_path / "events.parquet")
    split = Split(test=test)
    spec = cycle_spec(objectives=Objectives(engaged=clicks, satisfied=clicks))
    windows = split_windows(times, int(times[-1]), split)
    return list(few_users(tmp_path / "events.parquet", spec, windows, split, least))


@pytest.mark.parametrize(
    ("users", "least", "mend"),
    [
        (200, 20, None),  # just as many: who was shown something alone is none
        (200, 30, "20 users engage in the test window, and a verdict asks for 30: "
         "split: {validation: 0.1, test: 0.15} would have 30"),
        (200, 91, "20 users engage in the test window, and a verdict asks for 91: more events help"),
        (3, 20, "3 users engage in the test window, and a verdict asks for 20: more events help"),
    ],
)  # fmt: skip
def test_too_few_users_are_told_with_a_split_that_has_enough(tmp_path, users, least, mend):
    assert told(tmp_path, users, least) == ([f"engaged: {mend}"] if mend else [])
