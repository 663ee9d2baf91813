"""Several processes behind one address: they share the calls, and none of them is missed."""

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from argparse import Namespace
from functools import partial
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from souk.cli import serve as cli
from souk.errors import SoukError
from souk.listening import bind, shared_port
from souk.serving import server, workers
from souk.serving.worker_metrics import asked, merged, offer
from souk.serving.workers import Worker, Workers
from tests.serving_fixtures import write_workspace
from tests.serving_process import JSON, V1, fails, serving
from tests.worker_fates import fated

COUNT = 2


TEXT = """# HELP souk_calls_total Calls
# TYPE souk_calls_total counter
souk_calls_total{code="200"} 3.0
souk_calls_total{code="4\\"\\n"} 2.0
# HELP souk_waiting Waiting
# TYPE souk_waiting gauge
souk_waiting 1.5
# HELP souk_seconds Seconds
# TYPE souk_seconds histogram
souk_seconds_bucket{le="0.1"} 0.0
souk_seconds_bucket{le="+Inf"} 1.0
souk_seconds_count 1.0
souk_seconds_sum 0.5
"""


def test_metrics_of_all_workers_are_one_exposition():
    less = TEXT.replace("1.0", "4.0").replace('souk_calls_total{code="200"} 3.0\n', "")
    assert merged({"0": TEXT.encode(), "1": less.encode(), "2": None}).decode() == """\
# HELP souk_worker_up Whether a worker says how it is
# TYPE souk_worker_up gauge
souk_worker_up{worker="0"} 1.0
souk_worker_up{worker="1"} 1.0
souk_worker_up{worker="2"} 0.0
# HELP souk_calls_total Calls
# TYPE souk_calls_total counter
souk_calls_total{code="200",worker="0"} 3.0
souk_calls_total{code="4\\"\\n",worker="0"} 2.0
souk_calls_total{code="4\\"\\n",worker="1"} 2.0
# HELP souk_waiting Waiting
# TYPE souk_waiting gauge
souk_waiting{worker="0"} 1.5
souk_waiting{worker="1"} 1.5
# HELP souk_seconds Seconds
# TYPE souk_seconds histogram
souk_seconds_bucket{le="0.1",worker="0"} 0.0
souk_seconds_bucket{le="+Inf",worker="0"} 1.0
souk_seconds_count{worker="0"} 1.0
souk_seconds_sum{worker="0"} 0.5
souk_seconds_bucket{le="0.1",worker="1"} 0.0
souk_seconds_bucket{le="+Inf",worker="1"} 4.0
souk_seconds_count{worker="1"} 4.0
souk_seconds_sum{worker="1"} 0.5
"""  # fmt: skip


def test_a_worker_says_how_it_is_again_and_again_and_after_one_that_was_killed(tmp_path):
    place = tmp_path / "0.sock"
    assert asked(place) is None
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(place))
    assert asked(place) is None
    registry = CollectorRegistry()
    Gauge("souk_waiting_of_this_test", "Waiting", registry=registry).set(7)
    offer(tmp_path, 0, registry)
    for _ in range(3):
        assert asked(place) == generate_latest(registry) != b""


@pytest.fixture
def watched(tmp_path):
    """Workers of given fates until `done` says so of what was reported; what was reported."""

    def watch(fates, done=lambda said: False):
        for number, fate in enumerate(fates):
            (tmp_path / f"fate {number}").write_text(fate)
        said, over = [], threading.Event()

        def end():
            while not done(said) and not over.is_set():
                time.sleep(0.02)
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

        ending = threading.Thread(target=end)
        ending.start()
        try:
            Workers(len(fates) or 2, partial(fated, tmp_path), "127.0.0.1", 0, 0, said.append).run()
        finally:
            over.set()
            ending.join()
        return said

    return watch


def starts(folder, number):
    return len(list(folder.glob(f"{number}-*")))


def test_the_first_is_heard_and_all_are_told_to_end(watched, tmp_path):
    assert watched(["stays"] * 3, lambda said: len(said) == 2) == ["0 says so", "3 workers answer"]
    assert [starts(tmp_path, number) for number in range(3)] == [1, 1, 1]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_another_takes_the_place_of_one_that_ended(watched, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(workers, "REST_SECONDS", (0.05, 0.2))
    watched(["stays", "ends"], lambda said: starts(tmp_path, 1) == 2)
    assert "worker 1 ended with 4; another takes its place" in caplog.text
    assert starts(tmp_path, 0) == 1


@pytest.mark.parametrize(
    ("fates", "error"),
    [([], "Expected a fate. Received: none. Mend it."), (["dies"] * 2, "a worker to start. Received: its end with 3")],
)
def test_what_stops_the_first_is_told_once_and_no_other_is_started(watched, tmp_path, fates, error):
    with pytest.raises(SoukError, match=error):
        watched(fates)
    assert [starts(tmp_path, number) for number in range(2)] == [1, 0]


def test_a_port_that_another_program_has_is_refused():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        refused = pytest.raises(SoukError, match="Choose another --grpc-port")
        with refused, shared_port("127.0.0.1", taken.getsockname()[1], "--grpc-port"):
            pass


@pytest.mark.parametrize(("given", "alone", "among"), [(None, 5.0, 0.0), (7.0, 7.0, 7.0)])
def test_what_a_worker_did_not_hear_of_is_not_kept(monkeypatch, given, alone, among):
    seen = []
    monkeypatch.setattr(server, "serve", lambda **words: seen.append(words["user_cache_seconds"]))
    words = dict.fromkeys(("workspace", "host", "http_port", "grpc_port", "release", "milvus_uri", "index"), "")
    words |= dict.fromkeys(("flush_seconds", "log_format", "slate_cache_seconds", "token_file", "timeout_ms"), 1)
    words |= dict.fromkeys(("reload_seconds", "impressions", "kafka_config", "drain_seconds", "store_timeout_ms"), 1)
    arguments = Namespace(**words, user_cache_seconds=given, stale_hours=0.0, redis_uri=None)
    cli._answer(arguments)
    cli._answer(arguments, Worker(0, 2, Path(), None, 0, None))
    assert seen == [alone, among]


def all_ready(running):
    for line in running.process.stdout:
        if f"{COUNT} workers answer" in line:
            return
    raise AssertionError("they do not")


def of_each(running, name):
    """A metric by worker."""
    return [running.metric(f'{name}{{worker="{number}"}}') for number in range(COUNT)]


def children(running):
    pids = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return [pid for pid in map(int, pids) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.slow
class TestReal:
    """A server of two workers."""

    def test_they_share_calls_learn_of_events_and_lose_no_impression(self, tmp_path):
        workspace = write_workspace(tmp_path / "workspace")
        with serving(workspace.root, tmp_path / "log", "--workers", str(COUNT)) as running:
            all_ready(running)
            for number in range(60):
                assert running.slates({"user_id": f"u{number}", "k": 3})[0]["items"]
            answered = [
                running.metric(f'souk_requests_total{{code="200",protocol="v1",worker="{n}"}}') for n in range(COUNT)
            ]
            assert sum(answered) == 60 and min(answered) > 0
            shown = running.slates({"user_id": "ann", "k": 1})[0]["items"][0]["item_id"]
            row = {"event_id": "e", "user_id": "ann", "item_id": shown, "event_type": "click"}
            row["timestamp"] = time.time_ns() // 1_000_000 - 1
            assert running.call("/v1/events", json.dumps(row), JSON)[0] == 200
            now = [running.slates({"user_id": "ann", "k": 1})[0]["items"][0]["item_id"] for _ in range(20)]
            assert shown not in now
            assert running.stop() == 0
        written = ds.dataset(workspace.impressions, format="parquet").to_table(columns=["user_id"])
        assert written.num_rows == 60 + 1 + 20

    def test_one_that_is_killed_is_not_missed_and_another_comes(self, tmp_path):
        workspace = write_workspace(tmp_path / "workspace")
        with serving(workspace.root, tmp_path / "log", "--workers", str(COUNT)) as running:
            all_ready(running)
            before = children(running)
            os.kill(before[-1], signal.SIGKILL)
            while (
                len(now := children(running)) < COUNT or now == before or of_each(running, "souk_worker_up") != [1, 1]
            ):
                assert running.slates({"user_id": "ann", "k": 3})[0]["items"]  # the test's time limit ends it
            assert "ended with -9; another takes its place" in (tmp_path / "log").read_text()
            assert running.stop() == 0

    def test_nobody_answers_when_the_process_that_starts_them_is_killed(self, tmp_path):
        workspace = write_workspace(tmp_path / "workspace")
        with serving(workspace.root, tmp_path / "log", "--workers", str(COUNT)) as running:
            all_ready(running)
            mine = children(running)
            running.process.kill()
            running.process.wait()
            for pid in mine:
                while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text():
                    time.sleep(0.05)
            with pytest.raises(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.http)) as c:
                c.request("POST", V1, "{}")

    def test_what_they_cannot_start_with_is_one_error(self, tmp_path):
        workspace = write_workspace(tmp_path / "workspace")
        text = fails(workspace.root, "--workers", str(COUNT), "--token-file", str(tmp_path / "none"))
        assert text.count("souk serve: Expected") == 1 and "Traceback" not in text
