"""The REST server's app: what a call gets where the code is wrong."""

import asyncio
import logging
import math
import socket
import time
import uuid
from unittest.mock import AsyncMock

import grpc
import httpx
import pytest
from fastapi import FastAPI
from kserve import InferRequest, Model
from kserve.model_repository import ModelRepository
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc
from prometheus_client import CollectorRegistry

from souk.errors import SoukError
from souk.listening import address, bind
from souk.serving import logs
from souk.serving.events.route import EventsRoute
from souk.serving.items.route import ItemsRoute
from souk.serving.line import Overloaded
from souk.serving.metrics import ServingMetrics
from souk.serving.model import waits_until
from souk.serving.protocol.drain import Drain
from souk.serving.protocol.refusals import MAX_REQUEST_BYTES, FixedModels, StrictDataPlane
from souk.serving.protocol.rest import RestServer
from souk.serving.protocol.rpc import SHARE, RpcServer
from souk.serving.protocol.tracing import opened
from tests.serving_process import V2

SECRET = "the colour of ann"


class Broken(Model):
    """Knows its request, and then fails."""

    def __init__(self):
        super().__init__("souk")
        self.ready = True

    async def preprocess(self, payload, headers=None):
        logs.about([("the-request", "")])
        raise KeyError(SECRET)


@pytest.fixture
def models():
    models = ModelRepository()
    models.update(Broken())
    return models


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def app(models, registry):
    drain = Drain(0)
    plane = StrictDataPlane(models, drain)

    def more(app):
        @app.get("/broken")
        def broken():
            raise KeyError(SECRET)

        for route in (EventsRoute(None, None, None, lambda: 0), ItemsRoute(None, None)):
            route.register(app)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        metrics = ServingMetrics(registry)
        server = RestServer(listening, plane, FixedModels(models), metrics, opened({}), 1, more, drain)
        app = FastAPI()
        server._add_middlewares(app)
        server._register_endpoints(app)
        server._add_exception_handlers(app)
        yield app


@pytest.fixture
def call(app):
    async def call(method, path, **more):
        transport = httpx.ASGITransport(app)  # raises what uvicorn would log
        async with httpx.AsyncClient(transport=transport, base_url="http://souk") as asked:
            return await asked.request(method, path, **more)

    return lambda *args, **more: asyncio.run(call(*args, **more))


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"], ids=["direct", "long"])
def test_an_error_of_the_code_is_in_the_log_and_its_number_in_the_answer(call, content_type, caplog):
    with caplog.at_level(logging.ERROR):
        answer = call(
            "POST", "/v1/models/souk:predict", content=b'{"instances": []}', headers={"content-type": content_type}
        )
    text = answer.json()["error"]
    assert answer.status_code == 500 and text.startswith("Expected an answer.") and "the-request" in text
    assert "KeyError" not in text and SECRET not in text
    (record,) = [record for record in caplog.records if record.name == "souk.serving.protocol.rest"]
    assert "the-request" in record.getMessage() and record.exc_info[0] is KeyError


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/models/souk:predict", "v1"),
        (V2, "v2"),
        ("/v1/models/souk:explain", "explain"),
        ("/v1/events", "events"),
        ("/v1/items:upsert", "items"),
    ],
)
def test_a_client_that_goes_away_in_its_body_is_no_error_of_the_server(app, registry, caplog, path, protocol):
    came, sent = [{"type": "http.request", "body": b'{"events"', "more_body": True}], []

    async def receive():
        return came.pop() if came else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message.get("status"))

    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    assert sent[0] == 400 and not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert registry.get_sample_value("souk_requests_total", {"protocol": protocol, "code": "400"}) == 1


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"], ids=["direct", "long"])
def test_a_call_that_is_sent_away_is_told_for_how_long(call, content_type, monkeypatch):
    monkeypatch.setattr(Broken, "preprocess", AsyncMock(side_effect=Overloaded(0.1234)))
    said = {"content-type": content_type}
    answer = call("POST", "/v1/models/souk:predict", content=b'{"instances": []}', headers=said)
    assert answer.status_code == 429
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("1", "124")


def refused_over_grpc(models, timeout=None, **more):
    """The error of a call."""

    async def asked():
        metrics = ServingMetrics(CollectorRegistry())
        plane, own = StrictDataPlane(models, Drain(0)), FixedModels(models)
        server = RpcServer("127.0.0.1", 0, plane, own, metrics, opened({}), 1)
        port = await server.listen()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                message = pb.ModelInferRequest(model_name="souk", **more)
                await pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(message, timeout=timeout)
        finally:
            await server._server.stop(None)

    with pytest.raises(grpc.aio.AioRpcError) as told:
        asyncio.run(asked())
    return told.value


def test_a_call_over_grpc_is_told_too(models, monkeypatch):
    monkeypatch.setattr(Broken, "preprocess", AsyncMock(side_effect=Overloaded(0.1234)))
    told = refused_over_grpc(models)
    assert told.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(told.trailing_metadata())["grpc-retry-pushback-ms"] == "124"


def test_a_message_that_is_too_large_is_not_told_to_come_again(models):
    """gRPC's own refusal has the code of a server with too much to do."""
    told = refused_over_grpc(models, id="x" * MAX_REQUEST_BYTES)
    assert told.code() is grpc.StatusCode.INVALID_ARGUMENT and f"at most {MAX_REQUEST_BYTES} bytes" in told.details()


def test_a_version_over_grpc_is_not_found(models):
    told = refused_over_grpc(models, model_version="9")
    assert told.code() is grpc.StatusCode.NOT_FOUND and "Leave model_version out" in told.details()


@pytest.mark.parametrize("timeout", [60.0, None])
def test_the_deadline_of_a_grpc_call_is_until_when_its_caller_waits(models, monkeypatch, timeout):
    left = []

    async def preprocess(*_):
        left.append(waits_until.get() - time.monotonic())
        raise Overloaded(1.0)

    monkeypatch.setattr(Broken, "preprocess", preprocess)
    assert refused_over_grpc(models, timeout).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    # gRPC rounds the time up on its way, here to .1 s.
    assert left == [math.inf] if timeout is None else 0 < left[0] < 60.2 * SHARE


@pytest.mark.parametrize("host", ["::1", "::"])
def test_both_servers_listen_on_addresses_of_ipv6(models, host):
    async def asked():
        server = RpcServer(
            host, 0, StrictDataPlane(models, Drain(0)), FixedModels(models), ServingMetrics(CollectorRegistry()),
            opened({}), 1,
        )  # fmt: skip
        port = await server.listen()
        try:
            async with grpc.aio.insecure_channel(f"[::1]:{port}") as channel:
                stub = pb_grpc.GRPCInferenceServiceStub(channel)
                return (await stub.ServerLive(pb.ServerLiveRequest())).live
        finally:
            await server._server.stop(None)

    assert asyncio.run(asked())
    with bind(host, 0) as listening:
        assert address(host, listening.getsockname()[1]).startswith(f"[{host}]:")


def test_a_call_that_has_no_id_gets_one(call):
    text = call("GET", "/broken").json()["error"]
    number = text.split(" as ")[1].split(".")[0]
    assert uuid.UUID(hex=number).hex == number and SECRET not in text


@pytest.mark.parametrize(("inputs", "outputs", "said"), [(9_000, 0, "at most 11 inputs"), (1, 9_000, "at most 3 out")])
def test_many_tensors_are_refused_before_an_object_is_made_of_each(call, monkeypatch, inputs, outputs, said):
    monkeypatch.setattr(InferRequest, "from_inference_request", lambda *_: pytest.fail("they were made"))
    one = {"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    answer = call("POST", V2, json={"inputs": [one] * inputs, "outputs": [{"name": "slate"}] * outputs})
    assert answer.status_code == 400 and said in answer.json()["error"]


def test_a_large_body_of_few_tensors_is_passed_on_whole(call, monkeypatch):
    seen = []
    monkeypatch.setattr(Broken, "preprocess", AsyncMock(side_effect=lambda payload, _: seen.append(payload.inputs)))
    data = ["a" * 30] * 200
    call("POST", V2, json={"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [200], "data": data}]})
    assert [tensor.data for tensor in seen[0]] == [data]


def test_an_address_that_cannot_be_listened_on_is_told_from_a_port_that_is_taken():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(SoukError, match="address already in use"):
            bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(SoukError, match=r"requested address\. Mend --host"):
        bind("192.0.2.1", 0)  # of documentation, and of no machine


def test_a_field_that_kserve_misses_is_named(call):
    answer = call("POST", "/v2/models/souk/infer", content=b"{}", headers={"inference-header-content-length": "2"})
    assert answer.status_code == 400 and "Received: none with 'inputs'." in answer.json()["error"]
