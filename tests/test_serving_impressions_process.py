"""A server that is killed: what it answered is on the disk, was dropped, or is counted as lost by the next one."""

import threading
import time
from operator import sub

import pyarrow.parquet as pq
import pytest

from souk.serving.impressions.counts import FORM
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import serving

pytestmark = pytest.mark.slow
FLUSH = 0.5  # seconds between two flushes


def on_disk(workspace):
    files = workspace.impressions.rglob("*.parquet")
    return [row for file in files for row in pq.read_table(file, columns=["request_id"])["request_id"].to_pylist()]


def test_answered_is_written_and_lost_after_a_kill_and_written_after_a_stop(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    answered, stop = {}, threading.Event()

    def ask(server):
        while not stop.is_set():
            try:
                slates = server.slates({"user_id": "ann", "k": 4, "timestamp": NOW})
                time.sleep(0.05)  # so few that their number starts no flush
            except Exception:  # it is killed
                return
            answered.update((slate["request_id"], time.time()) for slate in slates)

    with serving(workspace.root, tmp_path / "log", "--flush-seconds", str(FLUSH)) as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60
        while len(list(workspace.impressions.rglob("*.parquet"))) < 3:
            assert time.monotonic() < until
            time.sleep(0.02)
        server.process.kill()
        server.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
    (file,) = workspace.impressions.glob(".files.*.counts")
    counted, _, dropped, _ = FORM.unpack(file.read_bytes())
    written = on_disk(workspace)
    assert len(set(written)) == len(written) and dropped == 0
    missing = set(answered) - set(written)
    flushed = sorted(file.stat().st_mtime for file in workspace.impressions.rglob("*.parquet"))
    assert min(map(sub, flushed[1:], flushed)) < 10 * FLUSH, "they come as often as they should, not by the default"
    assert all(answered[each] > flushed[-2] for each in missing), "what was there before the last flush is written"
    with serving(workspace.root, tmp_path / "log") as server:
        until = time.monotonic() + 60
        lost = 0.0
        while counted != len(written) + lost and time.monotonic() < until:  # it is counted beside the answers
            time.sleep(0.05)
            lost = server.metric('souk_impressions_lost_total{sink="files"}')
        assert counted == len(written) + lost, "answered = written + dropped + lost"
        assert len(missing) <= lost < counted, "each answer that a client has is written or counted"
        assert f"{int(lost)} impressions (files) were lost" in (tmp_path / "log").read_text() or not lost
        server.slates({"user_id": "ann"}, {"user_id": "bob"})
        assert server.stop() == 0
    assert len(on_disk(workspace)) == len(written) + 2
    assert not list(workspace.impressions.glob(".files.*.counts")), "nothing is left to be counted"
