"""When the demo asks: now, unless its data are of the past."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli.demo import _moment

TRAINED = 1_700_000_000_000
NOW = time.time_ns() // 1_000_000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("until", "asked"),
    [
        ([None, TRAINED - 1], {}),  # one without an end
        ([NOW + HOUR, TRAINED + 5], {}),
        ([NOW - HOUR, TRAINED + 5], {"timestamp": TRAINED}),
        ([TRAINED - 2, TRAINED - 1], {}),  # there was none then either
    ],
)
def test_data_of_the_past_are_asked_as_of_their_end(tmp_path, capsys, until, asked):
    items = pa.table({"available": [True, True], "available_until": pa.array(until, pa.int64())})
    pq.write_table(items, tmp_path / "items.parquet")
    (tmp_path / "bundle.json").write_text(json.dumps({"trained_until": TRAINED}))
    assert _moment(tmp_path) == asked
    assert ("as of the end of its data" in capsys.readouterr().out) == bool(asked)
