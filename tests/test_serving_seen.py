"""What is seen of a real server: the time of each stage, traces across processes, and logs without a value."""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import grpc
import pytest
import redis
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from souk.candidates import SHARES
from souk.errors import SoukError
from souk.serving.dependency import Unavailable
from souk.serving.logs import JsonLines
from souk.serving.protocol.rpc import CountedCalls
from souk.serving.protocol.spans import Spans
from souk.serving.protocol.tracing import Untraced, asked_for, opened
from souk.stages import Stage, heard, staged
from souk.store.interface import StoreError
from tests.otlp_collector import collecting
from tests.serving_bodies import ANN_USER, contents, message, tensor
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import JSON, V1, V2, serving

BEFORE, PARENT = "ab" * 16, "cd" * 8
TRACEPARENT = f"00-{BEFORE}-{PARENT}-01"
MODELS = {"users", "features", "query_tower", "index", "pair_features", "ranker", "rerank", "slate"}
STAGES = MODELS | (SHARES.keys() - {"two_tower"})
SECRET = "qz7secret"


def until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_stage_is_heard_by_who_listens_in_its_thread_and_by_nobody_else():
    add = staged("add")(lambda a, b: a + b)
    assert add(1, 2) == 3
    with heard() as outer:
        with Stage("one"), heard() as inner:
            assert add(1, b=2) == 3
        with Stage("one"):
            time.sleep(0.01)
        with pytest.raises(ZeroDivisionError), Stage("failed"):
            1 / 0  # noqa: B018
    assert inner.seconds.keys() == {"add"} and outer.seconds.keys() == {"one", "failed"}
    assert outer.seconds["one"] >= 0.01 and outer.began["one"] < outer.began["failed"]


@pytest.mark.parametrize(
    ("variables", "kind"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
    ],
)
def test_the_standard_variables_say_whether_there_are_traces(variables, kind):
    assert asked_for(variables) == kind
    assert isinstance(opened(variables), Untraced) == (kind == "")


def test_an_exporter_that_nobody_knows_is_an_error():
    with pytest.raises(SoukError, match=r"OTEL_TRACES_EXPORTER to be one of none, otlp, console\. Received: zipkin"):
        asked_for({"OTEL_TRACES_EXPORTER": "zipkin"})


def test_without_traces_nothing_of_opentelemetry_is_imported():
    code = "import sys; from souk.serving.protocol.tracing import opened; opened({}); "
    code += "import souk.serving.protocol.rest, souk.serving.protocol.rpc; "
    code += "print([m for m in sys.modules if m == 'souk.serving.protocol.spans' or m.startswith('opentelemetry.sdk')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


def test_an_error_of_the_code_is_told_by_its_type_and_one_of_the_outside_by_its_text():
    def line(error, cause=None):
        error.__cause__ = cause
        record = logging.LogRecord("souk", logging.WARNING, "f", 1, "%s unavailable: %s", ("ranker", error), None)
        return json.loads(JsonLines().format(record))["message"]

    assert line(ValueError(SECRET)) == "ranker unavailable: ValueError"
    assert (
        line(Unavailable(f"ranker: KeyError: {SECRET}"), KeyError(SECRET))
        == "ranker unavailable: Unavailable of KeyError"
    )
    store = StoreError("Feast to answer", SECRET)
    for store.__cause__, told in (ValueError(SECRET), "Unavailable of ValueError"), (redis.ConnectionError(), "gone"):
        assert line(Unavailable("gone"), store) == f"ranker unavailable: {told}"
    assert line(ConnectionError("refused")) == "ranker unavailable: refused"
    assert line(Unavailable("index: gone"), ConnectionError("gone")) == "ranker unavailable: index: gone"
    record = logging.LogRecord("souk", logging.ERROR, "f", 1, "answering without the models", (), None)
    try:
        raise ValueError(SECRET)
    except ValueError:
        record.exc_info = sys.exc_info()
    told = JsonLines().format(record)
    assert SECRET not in told and json.loads(told)["error"] == "ValueError" and json.loads(told)["where"]


@pytest.mark.parametrize(("code", "status"), [("INVALID_ARGUMENT", "UNSET"), ("INTERNAL", "ERROR")])
def test_a_call_that_raises_leaves_its_code_in_its_span_and_nothing_of_what_the_error_says(code, status):
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with contextlib.suppress(ValueError), Spans(provider).call("grpc ModelInfer", {}) as call:
        call.set(code)
        raise ValueError(SECRET)
    (span,) = kept.get_finished_spans()
    assert span.attributes == {"rpc.grpc.status": code} and span.status.status_code.name == status
    assert span.events == () and span.status.description is None


@pytest.fixture(scope="module")
def collector():
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "serve.log"


@pytest.fixture(scope="module")
def server(tmp_path_factory, collector, log):
    workspace = write_workspace(tmp_path_factory.mktemp("seen") / "workspace")
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "shop-recommender",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with serving(workspace.root, log, "--log-format", "json") as running:
            yield running


def counts(server):
    return {stage: server.metric(f'souk_stage_seconds_count{{stage="{stage}"}}') for stage in STAGES | EDGES}


AGES, YOUNG = "souk_feature_age_seconds", '_bucket{le="3600.0"}'  # they were published when the test began
EDGES = {"parse", "line", "impression"}


@pytest.mark.slow
def test_each_stage_of_the_path_is_measured_once_a_batch(server):
    before = counts(server)
    server.slates({"user_id": "ann", "timestamp": NOW}, {"user_id": "bob", "timestamp": NOW})
    after = counts(server)
    assert {stage: after[stage] - before[stage] for stage in after} == dict.fromkeys(after, 1.0)
    spent = {stage: server.metric(f'souk_stage_seconds_sum{{stage="{stage}"}}') for stage in after}
    assert 0 < sum(spent[stage] for stage in STAGES) <= spent["line"]


@pytest.mark.slow
def test_the_age_of_a_state_is_measured_when_it_is_read(server):
    before, young = server.metric(AGES + "_count"), server.metric(AGES + YOUNG)
    server.slates({"user_id": "ann"}, {"user_id": "stranger"})
    assert server.metric(AGES + "_count") == before + 1 and server.metric(AGES + YOUNG) == young + 1


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_trace_goes_on_through_the_server_and_has_its_stages(server, collector, protocol):
    trace_id = BEFORE[:-2] + {"rest": "01", "grpc": "02"}[protocol]
    header = TRACEPARENT.replace(BEFORE, trace_id)
    if protocol == "rest":
        body = json.dumps({"instances": [{"user_id": "ann", "timestamp": NOW}]})
        assert server.call(V1, body, {**JSON, "traceparent": header})[0] == 200
    else:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
            rpc.GRPCInferenceServiceStub(channel).ModelInfer(message(ANN_USER), metadata=(("traceparent", header),))
    until(lambda: any(span.parent_span_id.hex() == PARENT for span in collector.of(trace_id).values()))
    until(lambda: len(collector.of(trace_id)) > len(STAGES))
    spans = collector.of(trace_id)
    name = {"rest": "POST v1", "grpc": "grpc ModelInfer"}[protocol]
    own = spans.pop(name)
    assert own.parent_span_id.hex() == PARENT and own.kind == own.SPAN_KIND_SERVER
    assert spans.keys() == STAGES and {span.parent_span_id for span in spans.values()} == {own.span_id}
    for span in spans.values():
        assert own.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= own.end_time_unix_nano
    assert spans["users"].kind == own.SPAN_KIND_CLIENT and spans["ranker"].kind == own.SPAN_KIND_INTERNAL
    assert {each["service.name"] for each in collector.resources} == {"shop-recommender"}


class Traced:  # calls, each with a trace of its own
    def __init__(self, server, collector):
        self._server, self._collector, self._traces = server, collector, []

    def _header(self):
        self._traces.append(f"{0x5EC7E7:024x}{len(self._traces):08x}")
        return TRACEPARENT.replace(BEFORE, self._traces[-1])

    def rest(self, path, body):
        text = body if isinstance(body, str) else json.dumps(body)
        status, answer = self._server.call(path, text, {**JSON, "traceparent": self._header()})
        return status, json.loads(answer)

    def grpc(self, *inputs):
        with grpc.insecure_channel(f"127.0.0.1:{self._server.grpc}") as channel:
            sent = (("traceparent", self._header()),)
            return rpc.GRPCInferenceServiceStub(channel).ModelInfer(message(*inputs), metadata=sent)

    def come(self):
        """Waits for the spans of all calls. They come in the order in which they end: those of stages may end just
        after the call's, but before that of a later one."""
        assert self.rest(V1, {"instances": [{"user_id": "ann", "timestamp": NOW}]})[0] == 200
        whole = {"POST v1", "POST v2", "POST items", "POST events", "POST explain", "grpc ModelInfer"}
        until(lambda: all(whole & self._collector.of(trace).keys() for trace in self._traces))
        return len(self._traces)


@pytest.mark.slow
def test_no_value_of_a_request_is_in_a_log_or_a_span(server, collector, log):
    traced = Traced(server, collector)
    past = {"item_id": SECRET, "event_type": "click", "timestamp": NOW - 5, "context": {"device": SECRET}}
    fields = {"user_id": SECRET, "timestamp": NOW, "context": {"device": SECRET}, "events": [past]}
    more = {"exclude": [SECRET], "filter": {"category": SECRET}}
    status, answer = traced.rest(V1, {"instances": [{**fields, **more}]})
    assert status == 200
    for body in (
        {"instances": [{**fields, "k": SECRET}]},
        {"instances": [{SECRET: 1}]},
        {"instances": [{**fields, "context": {SECRET: SECRET}}]},
        f'{{"instances": [{{"user_id": "{SECRET}"',
    ):
        assert traced.rest(V1, body)[0] == 400
    assert traced.rest(V2, {"inputs": [tensor("user_id", "BYTES", [SECRET])]})[0] == 200
    assert traced.rest(V2, {"inputs": [tensor("user_id", SECRET, [SECRET])]})[0] == 400
    assert traced.grpc(contents("user_id", "BYTES", [1], bytes_contents=[SECRET.encode()])).outputs
    with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
        traced.grpc(contents(SECRET, "BYTES", [1], bytes_contents=[SECRET.encode()]))
    done = dict.fromkeys(("event_id", "user_id", "item_id", "device"), SECRET)
    done |= {"event_type": "click", "timestamp": time.time_ns() // 1_000_000 - 1}
    taken, refused = traced.rest("/v1/events", done), traced.rest("/v1/events", {**done, "event_type": SECRET})
    assert (taken[0], taken[1]["accepted"], refused[0]) == (200, 1, 400), (taken, refused)
    assert traced.rest("/v1/items:upsert", {"items": [{"item_id": SECRET, "price": SECRET}]})[1]["refused"]
    assert traced.rest("/v1/items:upsert", {"items": SECRET})[0] == 400
    assert traced.rest("/v1/models/souk:explain", {"instances": [{**fields, "item_id": SECRET}]})[0] == 400
    assert traced.come() == 15
    text = log.read_text()
    assert SECRET not in text and not [span for span in list(collector.spans) if SECRET in str(span)]
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    (told,) = [line for line in lines if line.get("request_id") == answer["predictions"][0]["request_id"]]
    assert told["message"] == "answered" and told["code"] == "200" and told["protocol"] == "v1"
    assert {span.trace_id.hex() for span in list(collector.spans)} >= {told["trace_id"]}
    assert [line for line in text.splitlines() if not line.startswith("{")] == []


def test_a_call_that_its_client_gives_up_is_no_error_of_the_server():
    counted, begun = [], []

    async def slow(request, context):
        begun.append(True)
        await asyncio.sleep(600)

    async def calls():
        metrics = SimpleNamespace(observe=lambda *given: counted.append(given[:2]))
        server = grpc.aio.server(interceptors=[CountedCalls(metrics, Untraced())])
        handler = grpc.unary_unary_rpc_method_handler(slow, bytes, bytes)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference", {"ModelInfer": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for timeout in (None, 2.0):
                call = channel.unary_unary("/inference/ModelInfer")(b"", timeout=timeout)
                while not begun:
                    await asyncio.sleep(0.01)
                if timeout is None:
                    call.cancel()
                    begun.clear()
                assert await call.code() is (
                    grpc.StatusCode.DEADLINE_EXCEEDED if timeout else grpc.StatusCode.CANCELLED
                )
            while len(counted) < 2:
                await asyncio.sleep(0.01)
        await server.stop(None)

    asyncio.run(asyncio.wait_for(calls(), 60))
    assert counted == [("grpc", "CANCELLED")] * 2
