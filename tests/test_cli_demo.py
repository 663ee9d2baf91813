"""When the demo asks: now, unless its data are of the past. What it leaves: no server, and no impressions."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.cli import main
from souk.cli.demo import _moment
from souk.cli.ending import _below
from tests.serving_fixtures import write_workspace

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


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp("demo") / "workspace")


@pytest.mark.slow
def test_what_it_asks_is_no_traffic(workspace, capsys):
    assert main(["demo", "--workspace", str(workspace.root)]) == 0
    assert "someone-new" in capsys.readouterr().out
    assert not list(workspace.impressions.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "how"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "interrupted")])
def test_its_server_ends_with_it(workspace, number, how):
    command = [sys.executable, "-m", "souk", "demo", "--workspace", str(workspace.root)]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (below := _below(demo.pid)):
        assert time.monotonic() < until and demo.poll() is None
        time.sleep(0.02)
    demo.send_signal(number)
    assert how in demo.communicate(timeout=60)[1] and demo.returncode == 128 + number
    until = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{process}") for process in below):
        assert time.monotonic() < until
        time.sleep(0.02)
