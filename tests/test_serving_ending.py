"""How a real server ends: it answers whom it took. And what a disk that takes no more does to answers."""

import http.client
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pyarrow.parquet as pq
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc

from tests.callers import ANSWERS, Callers
from tests.serving_bodies import ANN, ANN_USER, message
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import JSON, PATIENT, V1, serving

pytestmark = pytest.mark.slow
CALLERS = 4
READY = "/v2/health/ready"


@pytest.fixture
def workspace(tmp_path):
    return write_workspace(tmp_path / "workspace")


def logged(workspace):
    """The ids of the requests in the log; a file that is not whole is an error."""
    files = sorted(workspace.impressions.rglob("*.parquet"))
    return [request for file in files for request in pq.read_table(file)["request_id"].to_pylist()]


def beside(workspace):
    """What stands in the log's folders that is no file of it."""
    return [path.name for path in workspace.impressions.rglob(".*")]


def test_who_was_taken_is_answered_before_a_server_that_is_told_to_ends(workspace, tmp_path):
    """The callers are those of a load balancer: they look elsewhere as soon as the server is not ready."""
    words = ["--drain-seconds", "600", "--timeout-ms", "60000"]
    with serving(workspace.root, tmp_path / "log", *words, program=PATIENT) as server:
        with Callers(server, CALLERS).asking() as callers:
            callers.until(lambda: callers.statuses[200] > ANSWERS)
            server.process.terminate()
            while server.call(READY, method="GET")[0] == 200:
                time.sleep(0.01)
            before = callers.statuses[200]
            callers.until(lambda: callers.statuses[200] > before + CALLERS)
        assert set(callers.statuses) == {200} and set(callers.degraded) == {()}
        connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().headers["connection"] == "close", "whoever kept one open goes, too"
        assert server.stop() == 0, "a second signal ends it at once: how long all this took does not matter"
    assert len(logged(workspace)) == callers.statuses[200] and not beside(workspace)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_call_that_is_being_answered_at_the_end_is_answered(tmp_path, monkeypatch, protocol):
    slow = tmp_path / "slow"
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{Path(__file__).parents[1]}")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    ranker = {"use": "slow_plugs:Slow", "options": {"while_there": str(slow)}}
    workspace = write_workspace(tmp_path / "workspace", ranker=ranker)
    with serving(workspace.root, tmp_path / "log", program=PATIENT) as server, ThreadPoolExecutor(1) as pool:
        slow.write_text("3")  # seconds, of the 20 in which a server ends
        if protocol == "http":
            answered = pool.submit(lambda: server.call(V1, json.dumps({"instances": [ANN]}), JSON)[0] == 200)
        else:
            channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
            call = rpc.GRPCInferenceServiceStub(channel).ModelInfer
            answered = pool.submit(lambda: bool(call(message(ANN_USER), timeout=60).outputs))
        while not server.metric("souk_waiting_requests"):
            time.sleep(0.01)
        assert server.stop() == 0
        assert answered.result(60)
    assert len(logged(workspace)) == 1


def test_a_second_signal_does_not_wait(workspace, tmp_path):
    with serving(workspace.root, tmp_path / "log", "--drain-seconds", "600") as server:
        server.process.terminate()
        while server.call(READY, method="GET")[0] == 200:
            time.sleep(0.01)
        assert server.process.poll() is None
        assert server.stop() == 0


def counts(server):
    """answered, written, dropped, pending, when all that was asked is counted."""
    names = ("answered_total", "written_total", "dropped_total", "pending")
    return [server.metric(f'souk_impressions_{name}{{sink="files"}}') for name in names]


def ask(server, times, size=200):
    body = json.dumps({"instances": [{"user_id": "ann", "k": 2, "timestamp": NOW, "timeout_ms": 60_000}] * size})
    for _ in range(times):
        status, answer = server.call(V1, body, JSON)
        assert status == 200
        assert [len(slate["items"]) for slate in json.loads(answer)["predictions"]] == [2] * size


def test_a_disk_that_takes_no_more_costs_no_answer_and_what_it_costs_is_counted(workspace, tmp_path):
    """Every write of the process is refused, whoever runs the test: no file of it may grow."""
    with serving(workspace.root, tmp_path / "log", "--flush-seconds", "0.2") as server:
        ask(server, 1)
        while counts(server)[1] < 200:
            time.sleep(0.05)
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        ask(server, 1)
        time.sleep(0.5)
        assert counts(server) == [400, 200, 0, 200], "they wait"
        ask(server, 20)
        assert counts(server) == [4400, 200, 200, 4000], "and what does not fit is dropped"
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        while counts(server)[3]:
            time.sleep(0.05)
        assert counts(server) == [4400, 4200, 200, 0]
        assert server.stop() == 0
    assert len(logged(workspace)) == len(set(logged(workspace))) == 4200
    assert not beside(workspace)
