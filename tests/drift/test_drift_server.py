"""`souk-drift serve` as a process: what it takes, what it refuses, what survives SIGKILL."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from souk.drift.model import REQUEST, RESPONSE
from souk.errors import SoukError
from souk.listening import bind
from tests.drift.shop import RELEASE, record, some, traffic

WEST = {"user_region": some(0.4, "west")}


class Server:
    """A running `souk-drift serve`."""

    def __init__(self, release: Path, state: Path, *more: str) -> None:
        words = ["serve", "--release", str(release), "--state", str(state), "--http-port", "0", *more]
        words += ["--rows", "400", "--min-rows", "100"]
        command = [sys.executable, "-c", "from souk.drift.cli import main; raise SystemExit(main())", *words]
        self.log = (state.parent / f"{state.name}.log").open("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # waits until it is ready, or has ended
        found = re.search(r"http://\S+", line)
        assert found, self.said()
        self.url = found[0]

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def post(self, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url, data, {"Content-Type": "application/json"} | named)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def event(self, kind: str, body: Any, number: str = "1") -> tuple[int, dict[str, Any]]:
        """As KServe's payload logger sends it: binary, with the content type of the client's call."""
        named = {"ce_id": number, "ce_source": "http://localhost:9081/", "ce_specversion": "1.0", "ce_type": kind}
        more = {
            "ce_inferenceservicename": "souk",
            "ce_namespace": "souk",
            "ce_endpoint": "",
            "ce_component": "predictor",
        }
        return self.post(body, **named, **more)

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(self.url.partition("/v1")[0] + "/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:5] == "souk_")
        }

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.log.close()
        return code


@contextlib.contextmanager
def serving(release: Path, state: Path, *more: str) -> Iterator[Server]:
    server = Server(release, state, *more)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def server(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For what leaves the open window as it is."""
    with serving(release, tmp_path_factory.mktemp("served") / "state") as running:
        yield running


@contextlib.contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]], threading.Event]]:
    """An HTTP server that answers with `statuses`, one a call; yields its address, what it was sent, and the end."""
    sent: list[dict[str, Any]] = []
    left, done = list(statuses), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(left.pop(0))
            self.end_headers()
            if not left:
                done.set()

        def log_message(self, *_: Any) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/retrain", sent, done
    finally:
        listening.shutdown()
        listening.server_close()


def batch(count: int, seed: int, first: int, **planted: Any) -> dict[str, Any]:
    return {"instances": [record(r, first + n) for n, r in enumerate(traffic(count, seed, **planted))]}


@pytest.mark.slow
def test_records_become_windows_alarms_metrics_and_a_call_and_a_restart_goes_on(release: Path, tmp_path: Path) -> None:
    with receiver(500, 503, 200) as (url, sent, done):
        with serving(release, tmp_path / "state", "--on-alarm", url) as running:
            status, answer = running.post(batch(500, 1, 0, **WEST))
            assert (status, answer["predictions"][0]["windows"][0]["drifted"]) == (200, ["user_region"])
            assert running.end(signal.SIGTERM) == 0
        with serving(release, tmp_path / "state", "--on-alarm", url) as running:
            status, answer = running.post(batch(300, 2, 500, **WEST))
            [window] = answer["predictions"][0]["windows"]
            assert (window["number"], window["alarm"]) == (2, ["user_region"])
            assert done.wait(60), "called again until it answers 200"
            assert running.end(signal.SIGTERM) == 0
        assert [call["features"][0]["feature"] for call in sent] == ["user_region"] * 3
        with serving(release, tmp_path / "state") as running:
            numbers = running.metrics()
    assert json.loads((tmp_path / "state" / "alarm.json").read_text()) == sent[0]
    assert (numbers["souk_drift_windows_total"], numbers["souk_drift_alarms_total"]) == (2, 1)
    assert numbers["souk_drift_calls_failed_total"] == 0
    assert numbers['souk_drift_drifted{feature="user_region"}'] == 1
    assert numbers['souk_drift_drifted{feature="user_age"}'] == 0
    assert numbers['souk_drift_consecutive_windows{feature="user_region"}'] == 2
    assert numbers['souk_drift_p_value{feature="user_region"}'] < 1e-6
    assert 0.05 < numbers['souk_drift_missing_rate{feature="user_age"}'] < 0.2
    assert numbers['souk_drift_alarm{feature="user_region"}'] == 1
    assert numbers['souk_drift_alarm{feature="user_age"}'] == 0
    assert numbers["souk_drift_last_window_timestamp_seconds"] > 1_700_000_000


def test_what_was_acknowledged_survives_sigkill(release: Path, tmp_path: Path) -> None:
    acknowledged = 0
    with serving(release, tmp_path / "state") as running:
        kill = threading.Thread(target=running.process.send_signal, args=(signal.SIGKILL,))
        with contextlib.suppress(OSError, ConnectionError):
            for number in range(10_000):
                status, _ = running.post(batch(1, number, number))
                acknowledged += status == 200
                if acknowledged == 30:
                    kill.start()  # while the next ones are on their way
        assert running.process.wait(60) == -signal.SIGKILL
    assert acknowledged >= 30
    with serving(release, tmp_path / "state") as running:
        numbers = running.metrics()
    kept = numbers['souk_drift_rows_total{source="record"}']
    assert acknowledged <= kept <= acknowledged + 1, "the last may be on disk and not acknowledged"
    assert numbers["souk_drift_windows_total"] == kept // 400 and numbers["souk_drift_open_rows"] == kept % 400


def test_no_caller_ends_it(server: Server) -> None:
    """Without the model it would be as ready and alive as before, and take nothing any more."""
    for action in ("unload", "load"):
        asked = urllib.request.Request(
            server.url.partition("/v1")[0] + f"/v2/repository/models/souk-drift/{action}", b""
        )
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(asked, timeout=60)
    assert server.post({"instances": []})[0] != 404, "as where there is no model"


def test_events_of_the_payload_logger_give_context_and_scores(release: Path, tmp_path: Path) -> None:
    requests = traffic(400, 5, context_device="desktop")
    with serving(release, tmp_path / "state") as running:
        for start in range(0, 400, 100):
            block = requests[start : start + 100]
            asked = [
                {"user_id": "u", "context": {"device": r["context_device"], "basket": r["context_basket"]}}
                for r in block
            ]
            slates = [
                {
                    "request_id": f"r{start + n}",
                    "release": RELEASE,
                    "items": [
                        {
                            "item_id": "i",
                            "score": r["slate_score"],
                            "scores": {"engaged": r["slate_engaged"], "satisfied": r["slate_satisfied"]},
                        }
                    ],
                }
                for n, r in enumerate(block)
            ]
            assert running.event(RESPONSE, {"predictions": slates}, str(start))[0] == 200
            assert running.event(REQUEST, {"instances": asked}, str(start))[0] == 200
        numbers = running.metrics()
    assert numbers['souk_drift_rows_total{source="request"}'] == 400
    assert numbers["souk_drift_windows_total"] == 1
    assert numbers['souk_drift_drifted{feature="context_device"}'] == 1
    assert numbers['souk_drift_drifted{feature="slate_score"}'] == 0
    assert numbers['souk_drift_p_value{feature="user_region"}'] == 1, "events carry no user features"


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b'{"instances"', {}, "JSON body"),
        (b"", {}, "JSON body"),
        (b"\xff\xfe", {}, "JSON body"),
        ([1], {}, "instances"),
        ({}, {}, "instances"),
        ({"instances": []}, {}, "1 to 10000"),
        ({"instances": [7]}, {}, "to be an object"),
        ({"instances": [{"features": {}}]}, {}, "features and scores"),
        ({"instances": [{"features": "{", "scores": [1.0]}]}, {}, "features and scores"),
        ({"instances": [{"features": "[" * 5000, "scores": [1.0]}]}, {}, "features and scores"),
        ({"instances": [{"features": [], "scores": [1.0]}]}, {}, "features and scores"),
        ({"instances": [{"features": {"user_age": 3}, "scores": ["high"]}]}, {}, "features and scores"),
        ({"instances": [{"features": {"user_age": 3}, "scores": [1.0]}]}, {}, "one without"),
        ({"a": 1}, {"ce_type": "io.something.else"}, "CloudEvent of type"),
        ({"instances": 3}, {"ce_type": REQUEST}, "instances, a list"),
        ({"instances": [{"context": 3}]}, {"ce_type": REQUEST}, "context to be an object"),
        ({"predictions": [{"items": [{}]}]}, {"ce_type": RESPONSE}, "items and their scores"),
        (b'{"pred', {"ce_type": RESPONSE}, "Expected"),
        ({"type": "t", "data": {}}, {"Content_Type": "application/cloudevents+json"}, "Expected"),
        (b'"' + b"x" * (16 << 20) + b'"', {}, "at most 16777216 bytes"),
    ],
)
def test_a_wrong_body_is_a_400_that_says_why_and_nothing_is_taken(
    server: Server, body: Any, headers: dict[str, str], said: str
) -> None:
    event = {"ce_id": "1", "ce_source": "s", "ce_specversion": "1.0"} if "ce_type" in headers else {}
    status, answer = server.post(body, **event, **headers)
    assert (status, said in answer["error"]) == (400, True), answer
    assert answer["error"].startswith("Expected")
    assert server.metrics()["souk_drift_open_rows"] == 0


def test_what_is_refused_is_counted(server: Server) -> None:
    before = server.metrics()["souk_drift_refused_total"]
    server.post({"instances": []})
    assert server.metrics()["souk_drift_refused_total"] == before + 1


def test_slates_of_another_release_are_passed_over_and_counted(server: Server) -> None:
    before = server.metrics()["souk_drift_other_release_total"]
    status, _ = server.event(RESPONSE, {"predictions": [{"release": "shop-ffffffffffff", "items": []}]})
    numbers = server.metrics()
    assert (status, numbers["souk_drift_open_rows"]) == (200, 0)
    assert numbers["souk_drift_other_release_total"] == before + 1


def test_another_model_is_not_found(server: Server) -> None:
    url, server.url = server.url, server.url.replace("souk-drift", "other")
    try:
        assert server.post({"instances": [1]})[0] == 404
    finally:
        server.url = url


def test_a_port_that_is_taken_is_an_error(release: Path, server: Server, tmp_path: Path) -> None:
    from souk.drift.cli import main

    port = re.search(r":(\d+)/", server.url)
    assert port
    assert main(["serve", "--release", str(release), "--state", str(tmp_path / "s"), "--http-port", port[1]]) == 2
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("host", "port", "told"), [("127.0.0.1", 99_999, "0-65535"), ("192.0.2.1", 0, "assign")])
def test_an_address_that_cannot_be_listened_on_is_told(host: str, port: int, told: str) -> None:
    with pytest.raises(SoukError, match=told):
        bind(host, port)
