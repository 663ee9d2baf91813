"""A real server of two workers: what one of them does is the other's, and nobody misses one that is killed."""

import contextlib
import http.client
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import grpc
import pyarrow.dataset as ds
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc

from tests.serving_fixtures import write_workspace
from tests.serving_process import JSON, V1, fails, serving

pytestmark = pytest.mark.slow
COUNT = 2
READY = "/v2/health/ready"


@contextlib.contextmanager
def two(folder, *words):
    """The workspace, and its server once both workers answer."""
    workspace = write_workspace(folder / "workspace")
    with serving(workspace.root, folder / "log", "--workers", str(COUNT), *words) as server:
        for line in server.process.stdout:
            if f"{COUNT} workers answer" in line:
                break
        yield workspace, server


def of_each(server, name, labels=""):
    """A metric by worker."""
    more = f",{labels}" if labels else ""
    return [server.metric(f'{name}{{worker="{number}"{more}}}') for number in range(COUNT)]


def first(server):
    return server.slates({"user_id": "ann", "k": 1})[0]["items"][0]["item_id"]


def pids(server):
    """Of the workers that live."""
    found = []
    for pid in Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it may be gone by now
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(int(pid))
    return found


def test_they_share_calls_learn_of_events_and_lose_no_impression(tmp_path):
    with two(tmp_path) as (workspace, server):
        for number in range(60):
            assert server.slates({"user_id": f"u{number}", "k": 3})[0]["items"]
        answered = of_each(server, "souk_requests_total", 'code="200",protocol="v1"')
        assert sum(answered) == 60 and min(answered) > 0
        shown = first(server)
        row = {"event_id": "e", "user_id": "ann", "item_id": shown, "event_type": "click"}
        body = json.dumps(row | {"timestamp": time.time_ns() // 1_000_000 - 1})
        assert server.call("/v1/events", body, JSON)[0] == 200
        assert shown not in [first(server) for _ in range(20)]
        again = [json.loads(server.call("/v1/events", body, JSON)[1]) for _ in range(20)]
        assert sum(each["accepted"] for each in again) == 1, "the other knows its own alone"
        assert of_each(server, "souk_event_places_total", 'place="next"') in ([1, 0], [0, 1])
        assert server.stop() == 0
    written = ds.dataset(workspace.impressions, format="parquet").to_table(columns=["user_id"])
    assert written.num_rows == 60 + 1 + 20


def ask(server, timeout=None):
    """The answer to a call in a connection of its own."""
    user = pb.ModelInferRequest.InferInputTensor(name="user_id", datatype="BYTES", shape=[1])
    user.contents.bytes_contents.append(b"ann")
    request = pb.ModelInferRequest(model_name="souk", inputs=[user])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return rpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=timeout)


def test_both_answer_at_the_grpc_port(tmp_path):
    with two(tmp_path) as (_, server):
        calls, labels = Counter(), 'code="OK",protocol="grpc"'
        while min(of_each(server, "souk_requests_total", labels)) == 0:  # it is chance whose a connection is
            calls[len(ask(server).outputs) > 0] += 1
        assert set(calls) == {True} and sum(of_each(server, "souk_requests_total", labels)) == calls[True]


def test_one_that_is_killed_is_not_missed_and_another_comes(tmp_path):
    with two(tmp_path) as (_, server):
        before = pids(server)
        os.kill(before[-1], signal.SIGKILL)
        while before[-1] in pids(server):  # the calls that it has end with it
            time.sleep(0.001)
        while len(pids(server)) < COUNT or of_each(server, "souk_worker_up") != [1, 1]:  # the time limit ends it
            assert first(server)
        assert "ended with -9; another takes its place" in (tmp_path / "log").read_text()
        assert server.stop() == 0


def test_one_that_hangs_keeps_no_metrics_and_no_end_of_the_other(tmp_path):
    with two(tmp_path) as (_, server):
        hung = pids(server)[-1]
        os.kill(hung, signal.SIGSTOP)
        while sum(of_each(server, "souk_worker_up")) != 1:  # a call at which it hangs would end with the time limit
            time.sleep(0.1)
        server.process.terminate()
        while len(pids(server)) > 1:
            time.sleep(0.05)
        os.kill(hung, signal.SIGCONT)
        assert server.process.wait(60) == 0


def test_one_that_hangs_is_replaced(tmp_path):
    """At the gRPC port each has a socket of its own, to which new connections come whether it hangs or not."""
    with two(tmp_path) as (_, server):
        hung = pids(server)[-1]
        os.kill(hung, signal.SIGSTOP)
        while hung in pids(server) or len(pids(server)) < COUNT or of_each(server, "souk_worker_up") != [1, 1]:
            time.sleep(0.1)
        assert "hangs: its event loop has not turned for 15 s" in (tmp_path / "log").read_text()
        answers = [ask(server, timeout=5) for _ in range(20)]
        assert all(answer.outputs for answer in answers)
        assert server.stop() == 0


def test_a_signal_to_all_of_them_is_one_and_they_drain(tmp_path):
    """As systemd sends it: to the process that passes it on, too."""
    with two(tmp_path, "--drain-seconds", "600") as (_, server):
        for pid in (server.process.pid, *pids(server)):
            os.kill(pid, signal.SIGTERM)
        while server.call(READY, method="GET")[0] == 200:
            time.sleep(0.01)
        time.sleep(2.5)  # it takes two within two seconds for one
        assert len(pids(server)) == COUNT and first(server)
        assert server.stop() == 0, "a later one is another"


def test_nobody_answers_when_the_process_that_starts_them_is_killed(tmp_path):
    with two(tmp_path) as (_, server):
        mine = pids(server)
        server.process.kill()
        server.process.wait()
        for pid in mine:
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.05)
        connection = http.client.HTTPConnection("127.0.0.1", server.http)
        with pytest.raises(OSError), contextlib.closing(connection):
            connection.request("POST", V1, "{}")


@pytest.mark.parametrize(
    ("words", "error"),
    [(["--token-file", "none"], "none"), (["--index", "milvus"], "Milvus Lite, which one process has")],
)
def test_what_they_cannot_start_with_is_one_error(tmp_path, words, error):
    text = fails(write_workspace(tmp_path / "workspace").root, "--workers", str(COUNT), *words)
    assert text.count("souk serve: Expected") == 1 and error in text and "Traceback" not in text
