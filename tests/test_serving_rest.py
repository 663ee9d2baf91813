"""The REST server's app: what a call gets where the code is wrong."""

import asyncio
import logging
import socket
import uuid
from unittest.mock import AsyncMock

import httpx
import pytest
from fastapi import FastAPI
from kserve import InferRequest, Model
from kserve.model_repository import ModelRepository
from prometheus_client import CollectorRegistry

from souk.serving import logs
from souk.serving.drain import Drain
from souk.serving.metrics import ServingMetrics
from souk.serving.refusals import FixedModels, StrictDataPlane
from souk.serving.rest import RestServer
from souk.serving.tracing import opened
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
def call():
    models, drain = ModelRepository(), Drain(0)
    models.update(Broken())
    plane = StrictDataPlane(models, drain)

    def more(app):
        @app.get("/broken")
        def broken():
            raise KeyError(SECRET)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        metrics = ServingMetrics(CollectorRegistry())
        server = RestServer(listening, plane, FixedModels(models), metrics, opened({}), 1, more, drain)
        app = FastAPI()
        server._add_middlewares(app)
        server._register_endpoints(app)
        server._add_exception_handlers(app)

        async def call(method, path, **more):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://souk") as asked:
                return await asked.request(method, path, **more)

        yield lambda *args, **more: asyncio.run(call(*args, **more))


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"], ids=["direct", "long"])
def test_an_error_of_the_code_is_in_the_log_and_its_number_in_the_answer(call, content_type, caplog):
    with caplog.at_level(logging.ERROR):
        answer = call(
            "POST", "/v1/models/souk:predict", content=b'{"instances": []}', headers={"content-type": content_type}
        )
    text = answer.json()["error"]
    assert answer.status_code == 500 and text.startswith("Expected an answer.") and "the-request" in text
    assert "KeyError" not in text and SECRET not in text
    (record,) = [record for record in caplog.records if record.name == "souk.serving.rest"]
    assert "the-request" in record.getMessage() and record.exc_info[0] is KeyError


def test_a_call_that_has_no_id_gets_one(call):
    text = call("GET", "/broken").json()["error"]
    number = text.split(" as ")[1].split(".")[0]
    assert uuid.UUID(hex=number).hex == number and SECRET not in text


@pytest.mark.parametrize(("inputs", "outputs", "said"), [(9_000, 0, "at most 10 inputs"), (1, 9_000, "at most 3 out")])
def test_many_tensors_are_refused_before_an_object_is_made_of_each(call, monkeypatch, inputs, outputs, said):
    monkeypatch.setattr(InferRequest, "from_inference_request", lambda *_: pytest.fail("they were made"))
    one = {"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    answer = call("POST", V2, json={"inputs": [one] * inputs, "outputs": [{"name": "slate"}] * outputs})
    assert answer.status_code == 400 and said in answer.json()["error"]


def test_a_large_body_of_few_tensors_is_passed_on_whole(call, monkeypatch):
    seen = []
    monkeypatch.setattr(Broken, "preprocess", AsyncMock(side_effect=lambda payload, _: seen.append(payload.inputs)))
    call("POST", V2, json={"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [2000], "data": ["a"] * 2000}]})
    assert [tensor.data for tensor in seen[0]] == [["a"] * 2000]
