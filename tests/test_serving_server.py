"""A real server process: answers, refusals, what it counts, and a fault."""

import json
import shutil
import struct

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc

from souk.serving.batch import recommend_file
from tests.serving_bodies import (
    ANN,
    ANN_USER,
    BAD_GRPC,
    BAD_ROWS,
    BAD_V1,
    BAD_V2,
    BODIES,
    CLOUD_EVENTS,
    RAW,
    TIMES,
    USERS,
    binary,
    contents,
    message,
    packed,
    tensor,
)
from tests.serving_fixtures import NOW, write_workspace
from tests.serving_process import JSON, V1, V2, fails, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return write_workspace(tmp_path_factory.mktemp("served") / "workspace")


@pytest.fixture(scope="module")
def server(workspace, tmp_path_factory):
    with serving(
        workspace.root, tmp_path_factory.mktemp("log") / "serve.log", "--flush-seconds", "0.2", "--index", "milvus"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        yield rpc.GRPCInferenceServiceStub(channel)


def ids(slate):
    return [item["item_id"] for item in slate["items"]]


def test_served_answers_are_those_of_the_batch(server, workspace, tmp_path):
    requests = [
        {"user_id": user, "k": k, "timestamp": NOW, "exclude": ["g1-03"], "context": context}
        for user in ("ann", "bob", "cho", "new")
        for k in (1, 10, 50)
        for context in ({}, {"device": 5, "basket": 2.5})
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests))
    recommend_file(workspace.root, tmp_path / "in.jsonl", tmp_path / "out.jsonl", NOW)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for slate, line in zip(server.slates(*requests), lines, strict=True):
        assert (slate["user_id"], ids(slate), slate["release"]) == (line["user_id"], line["items"], line["release"])
        assert slate["degraded"] == line["degraded"]
        assert [item["score"] for item in slate["items"]] == pytest.approx(line["scores"], abs=1e-5)


def test_v1_answers_as_documented(server, workspace):
    status, body = server.call(V1, json.dumps({"instances": [ANN]}))  # no content type, as plain curl
    (slate,) = json.loads(body)["predictions"]
    assert status == 200 and slate.keys() == {"request_id", "user_id", "release", "arm", "items", "degraded"}
    fields = {"item_id", "title", "score", "scores", "source", "position", "propensity"}
    assert all(item.keys() == fields for item in slate["items"]) and slate["degraded"] == []
    assert slate["release"] == workspace.current_release()
    assert server.slates(ANN)[0]["request_id"] != slate["request_id"]


def test_v2_answers_as_v1(server):
    cells = tensor("context", "BYTES", ["", '{"device": "mobile"}'])
    sizes = tensor("k", "INT32", [2, 3])
    status, body = server.call(V2, json.dumps({"id": "7", "inputs": [USERS, TIMES, sizes, cells]}), JSON)
    answer = json.loads(body)
    outputs = {output["name"]: output for output in answer["outputs"]}
    first, second = server.slates(
        {"user_id": "ann", "k": 2, "timestamp": NOW},
        {"user_id": "new", "k": 3, "timestamp": NOW, "context": {"device": "mobile"}},
    )
    assert status == 200 and answer["id"] == "7"
    assert outputs["item_id"]["shape"] == [2, 3] and outputs["item_id"]["data"] == [*ids(first), "", *ids(second)]
    scores = [*(item["score"] for item in first["items"]), 0.0, *(item["score"] for item in second["items"])]
    assert outputs["score"]["datatype"] == "FP32" and outputs["score"]["data"] == pytest.approx(scores, abs=1e-6)
    assert [ids(json.loads(text)) for text in outputs["slate"]["data"]] == [ids(first), ids(second)]


def test_v2_binary_answers_as_json(server):
    body, headers = binary({"inputs": [RAW, TIMES], "outputs": [{"name": "item_id"}]})
    status, answer = server.call(V2, body, headers)
    (output,) = json.loads(answer)["outputs"]
    assert status == 200 and output["data"] == [i for slate in server.slates(
        {"user_id": "ann", "timestamp": NOW}, {"user_id": "new", "timestamp": NOW}) for i in ids(slate)]  # fmt: skip
    body, headers = binary({"inputs": [RAW, TIMES], "parameters": {"binary_data_output": True}})
    assert server.call(V2, body, headers)[0] == 200


def test_grpc_answers_as_v1(server, stub):
    times = contents("timestamp", "INT64", [1], int64_contents=[NOW])
    sizes = contents("k", "INT32", [1], int_contents=[5])
    answer = stub.ModelInfer(message(ANN_USER, times, sizes))
    outputs = {output.name: output for output in answer.outputs}
    wanted = ids(server.slates(ANN)[0])
    assert [text.decode() for text in outputs["item_id"].contents.bytes_contents] == wanted
    assert ids(json.loads(outputs["slate"].contents.bytes_contents[0])) == wanted
    raw = stub.ModelInfer(
        message(
            *(
                pb.ModelInferRequest.InferInputTensor(name=t.name, datatype=t.datatype, shape=[1])
                for t in (ANN_USER, times)
            ),
            raw_input_contents=[packed(b"ann"), struct.pack("<q", NOW)],
        )
    )
    assert (
        packed(*(i.encode() for i in wanted))
        == raw.raw_output_contents[0][: len(packed(*(i.encode() for i in wanted)))]
    )


@pytest.mark.parametrize("headers", [{}, JSON, {"content-type": "application/json; charset=utf-8"}], ids=len)
@pytest.mark.parametrize("case", BAD_V1)
def test_a_bad_v1_request_is_a_400_that_says_why(server, case, headers):
    status, body = server.call(V1, BAD_V1[case], headers)
    error = json.loads(body)["error"]
    assert status == 400 and error.startswith("Expected") and "Received" in error, error


@pytest.mark.parametrize("path", BAD_ROWS)
def test_rows_that_are_too_deep_to_be_quoted_whole_are_refused(server, path):
    status, body = server.call(path, BAD_ROWS[path], JSON)
    (refused,) = json.loads(body)["refused"]
    assert status == 200 and "Received: [[[" in refused["reason"] and "...]]]" in refused["reason"]


def test_a_bad_instance_is_named_by_its_index(server):
    error = json.loads(server.call(V1, BAD_V1["one bad among good"])[1])["error"]
    assert (
        error
        == "Expected instances[1].k to be a whole number from 1 to 50. Received: 51. Send a number within these bounds."
    )


@pytest.mark.parametrize(("body", "headers", "status"), CLOUD_EVENTS)
def test_cloud_events(server, body, headers, status):
    assert server.call(V1, body, headers)[0] == status


@pytest.mark.parametrize("case", BAD_V2)
def test_a_bad_v2_request_is_a_400_that_says_why(server, case):
    status, body = server.call(V2, *BAD_V2[case])
    error = json.loads(body)["error"]
    assert status == 400 and error.startswith("Expected") and "Received" in error, error


@pytest.mark.parametrize("case", BAD_GRPC)
def test_a_bad_grpc_request_is_an_invalid_argument_that_says_why(stub, case):
    with pytest.raises(grpc.RpcError) as error:
        stub.ModelInfer(BAD_GRPC[case])
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith("Expected") and "Received" in error.value.details()


def test_bytes_that_are_no_message_are_an_invalid_argument(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as error:
            call(b"\xff\xff\xff")
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/other:predict", 404),
        ("/v1/models/souk:explain", 400),
        ("/v2/models/other/infer", 400),
        ("/v2/models/souk/versions/1/infer", 404),
        ("/v2/repository/models/souk/unload", 400),
        ("/v2/repository/models/souk/load", 400),
    ],
)
def test_other_addresses(server, path, status):
    body = json.dumps({"inputs": []} if "infer" in path else {"instances": [ANN]})
    assert server.call(path, body, JSON)[0] == (404 if "other" in path else status)
    assert ids(server.slates(ANN)[0])


@pytest.mark.parametrize("path", [V1, "/v1/models/souk:explain", V2, "/v1/items:upsert", "/v1/events"])
def test_a_get_where_a_body_is_posted(server, path):
    """KServe says that there is no model souk:predict."""
    text = "Expected a POST with a JSON body. Received: a GET. See docs/serving.md."
    assert server.call(path, method="GET") == (405, json.dumps({"error": text}, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/v1/recommend", 404, "a path of this server, whose model is souk"),
        ("POST", "/v1/models/mine:predict", 404, "a path of this server, whose model is souk"),
        ("GET", "/v2/models/mine", 404, "a path of this server, whose model is souk"),
        ("POST", "/metrics", 405, "GET"),
    ],
)
def test_a_wrong_address_is_told_where_the_right_ones_are(server, method, path, status, expected):
    received, said = server.call(path, json.dumps({"instances": [ANN]}) if method == "POST" else None, method=method)
    assert received == status
    told = json.loads(said)["error"]
    assert told.startswith(f"Expected {expected}. Received: {method} {path}. GET /openapi.json describes ")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(path=st.sampled_from([V1, V2, "/v1/events"]), body=BODIES, headers=st.sampled_from([{}, JSON]))
def test_no_body_is_a_server_error(server, path, body, headers):
    assert server.call(path, body, headers)[0] in (200, 400)


def test_calls_and_reasons_are_counted(server, workspace):
    release = f'release="{workspace.current_release()}"'
    lines = {
        'souk_requests_total{code="200",protocol="v1"}': 1,
        'souk_requests_total{code="400",protocol="v2"}': 1,
        f'souk_degraded_slates_total{{reason="unknown_user",{release}}}': 1,
        f'souk_degraded_slates_total{{reason="malformed_feature:device",{release}}}': 1,
        f"souk_slates_total{{{release}}}": 3,
        "souk_user_slates_total": 2,
        'souk_impressions_answered_total{sink="files"}': 3,
    }
    before = {line: server.metric(line) for line in lines}
    server.slates({"user_id": "stranger", "context": {"device": 1}}, ANN, {"events": []})
    server.call(V2, *BAD_V2["no user_id"])
    assert {line: server.metric(line) - before[line] for line in lines} == lines
    assert server.metric('souk_request_seconds_count{protocol="v1"}') > 0
    assert server.metric('souk_impressions_dropped_total{sink="files"}') == 0


def test_the_next_request_knows_an_event(server, workspace):
    asked = {"user_id": "visitor", "k": 3}
    lines = {
        'souk_events_total{outcome="duplicate"}': 1,
        'souk_event_places_total{place="late"}': 1,
        'souk_requests_total{code="400",protocol="events"}': 4,
    }
    before = {line: server.metric(line) for line in lines}
    first = ids(server.slates(asked)[0])[0]
    sent = {"event_id": "v1", "user_id": "visitor", "item_id": first, "event_type": "click", "timestamp": NOW}
    for body, counts in (
        (sent, (1, 0, 0)),
        (
            {"events": [sent, {**sent, "event_id": "v2", "timestamp": NOW - 1}, {**sent, "event_type": "clik"}]},
            (1, 1, 1),
        ),
    ):
        status, text = server.call("/v1/events", json.dumps(body), JSON)
        answer = json.loads(text)
        assert (status, answer["pending"], answer["release"]) == (200, 0, workspace.current_release())
        assert (answer["accepted"], answer["duplicates"], len(answer["refused"])) == counts
        (slate,) = server.slates(asked)
        assert first not in ids(slate) and slate["degraded"] == []
    assert answer["refused"][0]["row"] == 2 and answer["refused"][0]["event_id"] == "v1"
    for body, code in (({**sent, "event_type": "clik"}, 400), ({"events": [{**sent, "event_type": "clik"}]}, 200)):
        status, text = server.call("/v1/events", json.dumps(body), JSON)
        answer = json.loads(text)
        assert (status, answer["accepted"], answer["refused"][0]["event_id"]) == (code, 0, "v1")
        assert answer.get("error", "") == (answer["refused"][0]["reason"] if code == 400 else "")
    for body in (b"[]", b"{}", b" " * (4 << 20) + b"{}"):
        assert server.call("/v1/events", body, JSON)[0] == 400
    assert {line: server.metric(line) - before[line] for line in lines} == lines


def test_the_index_deleted_under_the_server(server, workspace):
    wanted = ids(server.slates(ANN)[0])
    shutil.rmtree(workspace.milvus)
    for _ in range(3):
        (slate,) = server.slates(ANN)
        assert ids(slate) == wanted and set(slate["degraded"]) <= {"index_unavailable"}


def test_a_port_that_is_taken_is_named(server, workspace):
    assert f"127.0.0.1:{server.http} to be free" in fails(workspace.root, "--http-port", str(server.http))
