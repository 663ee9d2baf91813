"""Requests by the thousand, wrong in every way, and good ones among them: no 5xx, no crash, no memory that grows.

SOUK_FUZZ says how many: 400 in the suite, 10,000 in `make fuzz`.
"""

import http.client
import json
import os
import re
from collections import Counter
from pathlib import Path

import grpc
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc
from schemathesis import GenerationMode

from tests.fuzz_bodies import ROWS_BODIES, V1_BODIES, V2_BODIES, messages
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import JSON, V1, V2, serving

pytestmark = pytest.mark.slow
COUNT = int(os.environ.get("SOUK_FUZZ", "400"))
GROWTH, EACH = 64 << 20, 8 << 10  # bytes, and so many a request: its caches, the events and items that it took
KINDS = (V1, V1.replace("predict", "explain"), V2, "/v1/events", "/v1/items:upsert")
SEEN: Counter[str] = Counter()


def many(share):
    """Settings for a part of COUNT: nothing is shrunk that takes longer than the tests."""
    checks = list(HealthCheck)
    phases = (Phase.generate,)
    return settings(
        max_examples=max(10, int(share * COUNT)),
        suppress_health_check=checks,
        phases=phases,
        database=None,
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    with serving(write_workspace(folder / "workspace").root, folder / "log") as running:
        for _ in range(20):  # what it holds once it is warm
            running.slates({"user_id": "ann", "k": 50}, {"item_id": "g0-00"}, {"events": []})
        before = resident(running)
        yield running
        assert running.process.poll() is None, "it lives"
        (slate,) = running.slates({"user_id": "ann", "k": 5, "timestamp": NOW})
        grown = resident(running) - before
        print(f"{sum(SEEN.values())} requests, {dict(SEEN)}, {grown / 2**20:+.0f} MiB")
        assert len(slate["items"]) == 5 and grown < GROWTH + EACH * sum(SEEN.values())
        log = (folder / "log").read_text()
        assert "Traceback" not in re.sub(r"(?s)asyncio.*?CancelledError", "", log), log[-3000:]


def resident(server):
    """Bytes that the process holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10


class Line:
    """One connection, made anew when the server closes it."""

    def __init__(self, server):
        self._server, self._connection = server, None

    def post(self, path, body, headers, chunked=False):
        """`chunked`: without a content-length, so that the body counts as a large one."""
        sent = [body] if chunked else body
        for again in (False, True):
            self._connection = self._connection or http.client.HTTPConnection(
                "127.0.0.1", self._server.http, timeout=120
            )
            try:
                self._connection.request("POST", path, sent, headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self._connection = None
                if again:
                    raise
        raise AssertionError("unreachable")


@pytest.fixture(scope="module")
def line(server):
    return Line(server)


@pytest.fixture(scope="module")
def described(server):
    return json.loads(server.call("/openapi.json", method="GET")[1])


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
@pytest.mark.parametrize("path", KINDS)
def test_what_the_description_makes_up(server, line, described, path, mode):
    """Requests by it, and against it: each answer is one that it says, in the form that it says."""
    declared = described["paths"][path]["post"]["responses"]
    schemas = {
        status: Draft202012Validator(
            {**answer["content"]["application/json"]["schema"], "components": described["components"]}
        )
        for status, answer in declared.items()
    }
    operation = schemathesis.openapi.from_dict(described)[path]["POST"]

    @many(0.01 if path == "/v1/items:upsert" else 0.05)
    @given(operation.as_strategy(generation_mode=mode))
    def holds(case):
        sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
        body = json.dumps(sent["json"]).encode() if "json" in sent else sent.get("data") or b""
        body = body.encode(errors="replace") if isinstance(body, str) else body if isinstance(body, bytes) else b"x"
        headers = {
            n: v for n, v in dict(sent["headers"] or {}).items() if n.lower().startswith(("x-souk", "content-type"))
        }
        headers = {name: str(value).encode("latin-1", "replace") for name, value in headers.items()}
        status, text = line.post(path, body, headers)
        SEEN[f"{path} {status}"] += 1
        assert str(status) in declared, (status, text, body)
        schemas[str(status)].validate(json.loads(text))

    holds()


@many(0.2)
@given(body=V1_BODIES, headers=st.sampled_from([{}, JSON]), path=st.sampled_from(KINDS[:2]), chunked=st.booleans())
def test_v1(line, body, headers, path, chunked):
    status, text = line.post(path, body, headers, chunked)
    SEEN[f"v1 {status}"] += 1
    late = (429, 503) if path != V1 else ()  # an explanation that is not there within its timeout_ms
    assert status in (200, 400, *late), text


@many(0.15)
@given(body=V2_BODIES, chunked=st.booleans())
def test_v2(line, body, chunked):
    status, text = line.post(V2, body, JSON, chunked)
    SEEN[f"v2 {status}"] += 1
    assert status in (200, 400), text


@many(0.1)
@given(body=ROWS_BODIES, path=st.sampled_from(["/v1/events", "/v1/events", "/v1/items:upsert"]))
def test_rows(line, body, path):
    status, text = line.post(path, body, JSON)
    SEEN[f"rows {status}"] += 1
    assert status in (200, 400), text


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        yield rpc.GRPCInferenceServiceStub(channel), channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")


@many(0.15)
@given(asked=messages())
def test_grpc(stub, asked):
    code = "OK"
    try:
        stub[0].ModelInfer(asked)
    except grpc.RpcError as error:
        code = error.code().name
    SEEN[f"grpc {code}"] += 1
    assert code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND"), asked


@many(0.05)
@given(data=st.binary(max_size=200))
def test_bytes_over_grpc(stub, data):
    code = "OK"
    try:
        stub[1](data)
    except grpc.RpcError as error:
        code = error.code().name
    SEEN[f"grpc bytes {code}"] += 1
    assert code in ("INVALID_ARGUMENT", "NOT_FOUND", "OK")


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize("more", [0, 1])
def test_oversized(server, path, more):
    """A body may have 1 MiB, one of rows 4; the JSON in it is wrong, so that what it is refused for tells."""
    most = 4 << 20 if path in KINDS[3:] else 1 << 20
    status, text = server.call(path, b"{}".rjust(most + more), JSON)
    said = json.loads(text)["error"]
    assert status == 400 and said.startswith("Expected")
    assert (f"at most {most} bytes" in said) == bool(more)
