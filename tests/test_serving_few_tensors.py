"""V2 bodies, and messages of gRPC: what holds more than the protocol has is refused before anything is made of it."""

import asyncio
import json
from types import SimpleNamespace

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from souk.errors import SoukError
from souk.serving.protocol.few_tensors import LARGE, MOST_DIMENSIONS, MOST_PARAMETERS, SIZE, check, check_message
from souk.serving.protocol.rpc import CountedCalls
from souk.serving.protocol.tensors import INPUTS
from souk.serving.protocol.tracing import opened
from souk.serving.request import MAX_INSTANCES
from tests.serving_bodies import RAW, binary, packed

ONE = {"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["a"]}
PAD = {"id": "x" * 5000}  # JSON of less is not looked at
LONG = "names and datatypes of tensors of at most 80 characters. Received: one of 100000"


def raw(size, datatype="BYTES"):
    return {**RAW, "datatype": datatype, "parameters": {SIZE: size}}


def checked(document, behind=None, length=None):
    if behind is None:
        return check(json.dumps(document | PAD).encode())
    body, headers = binary(document, behind, length)
    return check(body, [headers["inference-header-content-length"].encode()])


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [{**ONE, "data": ["a"] * MAX_INSTANCES}] * len(INPUTS)},
        {"inputs": [{**ONE, "data": [["a"]] * MAX_INSTANCES, "shape": [MAX_INSTANCES, 1]}]},
        {"inputs": 5, "outputs": {"name": 1}, "parameters": [1]},
        {"inputs": [{**ONE, "name": "x" * 80, "datatype": "y" * 80}], "outputs": [{"name": "z" * 80}]},
        {"inputs": [5, {"data": 5, "parameters": "x"}]},
    ],
    ids=lambda document: str(document)[:40],
)
def test_what_the_protocol_has_or_another_refuses_is_passed_on(document):
    checked(document)
    checked(document, b"")


def test_raw_tensors_of_as_many_as_may_be_are_passed_on():
    texts = packed(*[b"ann"] * MAX_INSTANCES)
    checked({"inputs": [raw(len(texts)), raw(8 * MAX_INSTANCES, "INT64")]}, texts + bytes(8 * MAX_INSTANCES))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"inputs": [ONE] * (len(INPUTS) + 1)}, f"at most {len(INPUTS)} inputs"),
        ({"inputs": [ONE], "outputs": [{"name": "slate"}] * 4}, "at most 3 outputs"),
        ({"inputs": [ONE, {**ONE, "data": ["a"] * (MAX_INSTANCES + 1)}]}, "input user_id of at most 256 values"),
        ({"inputs": [{**ONE, "data": [["a"] * (MAX_INSTANCES + 1)]}]}, "input user_id of at most 256 values"),
        ({"inputs": [{**ONE, "shape": [1] * (MOST_DIMENSIONS + 1)}]}, "at most 8 shape of input user_id"),
        ({"parameters": dict.fromkeys(map(str, range(MOST_PARAMETERS + 1)), 1)}, "at most 32 parameters"),
        ({"inputs": [{**ONE, "parameters": dict.fromkeys(map(str, range(99)), 1)}]}, "parameters of input user_id"),
        ({"inputs": [{**ONE, "name": "x" * 100_000}]}, LONG),
        ({"inputs": [{**ONE, "datatype": "x" * 100_000}]}, LONG),
        ({"inputs": [ONE], "outputs": [{"name": "x" * 100_000}]}, LONG),
    ],
)
def test_more_is_refused(document, said):
    for behind in (None, b""):
        with pytest.raises(SoukError, match=said):
            checked(document, behind)


@pytest.mark.parametrize(
    ("inputs", "behind", "said"),
    [
        ([raw(4 * (MAX_INSTANCES + 1))], bytes(4 * (MAX_INSTANCES + 1)), "at most 256 values"),
        ([raw(7), raw(4 * (MAX_INSTANCES + 1))], packed(b"ann") + bytes(4 * (MAX_INSTANCES + 1)), "at most 256 values"),
        ([raw(8 * (MAX_INSTANCES + 1), "BOOL")], bytes(3000), "at most 256 values"),
        ([raw(1000), raw(-1000), raw(1000)], bytes(1000), "a whole number from 0"),
        ([raw(1.5)], b"", "a whole number from 0"),
        ([raw(None)], b"", "a whole number from 0"),
    ],
)
def test_raw_tensors_of_more_are_refused(inputs, behind, said):
    with pytest.raises(SoukError, match=said):
        checked({"inputs": inputs}, behind)


def test_a_length_is_not_negative_and_each_that_is_sent_is_looked_at():
    with pytest.raises(SoukError, match="from 0"):
        checked({"inputs": [raw(4000)]}, bytes(4000), "-4000")
    body, headers = binary({"inputs": [raw(4000)]}, bytes(4000))
    right = headers["inference-header-content-length"].encode()
    for heads in ([right, b"0"], [b"0", right]):
        with pytest.raises(SoukError, match="at most 256 values"):
            check(body, heads)


WIDTHS = {"BYTES": 4, "BOOL": 1, "INT64": 8}  # the least bytes of a value
SIZES = st.integers(-100, 500).map(lambda count: 4 * count)


@settings(max_examples=200)
@given(st.lists(st.tuples(SIZES, st.sampled_from(sorted(WIDTHS))), max_size=3), st.sampled_from([0, 0, 0, -4, 3]))
def test_whatever_is_passed_on_kserve_makes_few_values_of(parts, off):
    """Texts of no length are the most values that bytes can hold."""
    behind = bytes(2400)
    document = {"inputs": [{**raw(size, kind), "shape": [abs(size) // WIDTHS[kind]]} for size, kind in parts]}
    length = len(json.dumps(document).encode()) + off
    body, _ = binary(document, behind)
    try:
        check(body, [str(length).encode()])
        made = InferRequest.from_bytes(body, length, "souk")
    except Exception:  # of either: nothing is made of it
        return
    for tensor in made.inputs:
        assert len(tensor.data) <= (MAX_INSTANCES if tensor.datatype == "BYTES" else 8 * MAX_INSTANCES + 7)


Tensor, Output = pb.ModelInferRequest.InferInputTensor, pb.ModelInferRequest.InferRequestedOutputTensor
MANY = {f"p{n}": pb.InferParameter(bool_param=True) for n in range(MOST_PARAMETERS + 1)}


def column(count=1, name="user_id", datatype="BYTES", **more):
    return Tensor(name=name, datatype=datatype, shape=[count], **more)


def texts(count):
    return column(count, contents=pb.InferTensorContents(bytes_contents=[b"a"] * count))


@pytest.mark.parametrize(
    "request_of",
    [
        {"inputs": [texts(MAX_INSTANCES)] * len(INPUTS), "outputs": [Output(name="slate")] * 3},
        {
            "inputs": [column(MAX_INSTANCES), column(MAX_INSTANCES, "k", "INT64")],
            "raw_input_contents": [packed(*[b"ann"] * MAX_INSTANCES), bytes(8 * MAX_INSTANCES)],
        },
    ],
)
def test_a_message_of_as_much_as_may_be_is_passed_on(request_of):
    check_message(pb.ModelInferRequest(**request_of))


@pytest.mark.parametrize(
    ("request_of", "said"),
    [
        ({"inputs": [column()] * (len(INPUTS) + 1)}, f"at most {len(INPUTS)} inputs"),
        ({"outputs": [Output(name="slate")] * 4}, "at most 3 outputs"),
        ({"raw_input_contents": [b""] * (len(INPUTS) + 1)}, f"at most {len(INPUTS)} raw_input_contents"),
        ({"parameters": MANY}, "at most 32 parameters of the request"),
        ({"inputs": [column(parameters=MANY)]}, "at most 32 parameters of input user_id"),
        ({"outputs": [Output(name="slate", parameters=MANY)]}, "at most 32 parameters of output slate"),
        ({"inputs": [Tensor(name="k", shape=[1] * 9)]}, "at most 8 shape of input k"),
        ({"inputs": [column(), texts(MAX_INSTANCES + 1)]}, "input user_id of at most 256 values"),
        ({"inputs": [column()], "raw_input_contents": [packed(*[b""] * 257)]}, "input user_id of at most 256 values"),
        ({"inputs": [column(1, "k", "INT64")], "raw_input_contents": [bytes(8 * 257)]}, "input k of at most 256"),
        ({"inputs": [column(name="x" * 100_000)]}, LONG),
        ({"inputs": [column(datatype="x" * 100_000)]}, LONG),
        ({"outputs": [Output(name="x" * 100_000)]}, LONG),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
def test_a_message_of_more_is_refused(request_of, said):
    with pytest.raises(SoukError, match=said):
        check_message(pb.ModelInferRequest(**request_of))


class Aborted(Exception):
    pass


NINE = pb.ModelInferRequest(outputs=[Output(name="x" * LARGE)] * 9).SerializeToString()
LONG_NAME = pb.ModelInferRequest(inputs=[column(name="x" * 100_000)]).SerializeToString()


@pytest.mark.parametrize(
    ("data", "said"),
    [(NINE, "at most 3 outputs"), (b"\xff" * 9, "a message of the V2 protocol"), (LONG_NAME, LONG)],
    ids=("many", "none", "long"),
)
def test_a_call_whose_message_is_refused_never_gets_to_the_servicer(data, said):
    """It makes objects of all parts, on the event loop."""
    told, asked = [], []

    async def answers(request, context):
        asked.append(request)

    async def continuation(details):
        return grpc.unary_unary_rpc_method_handler(answers, pb.ModelInferRequest.FromString)

    async def abort(code, text):
        told.append((code, text))
        raise Aborted

    context = SimpleNamespace(
        invocation_metadata=lambda: (), time_remaining=lambda: None, abort=abort, code=lambda: told[0][0]
    )
    metrics = SimpleNamespace(observe=lambda protocol, code, seconds: told.append(code))

    async def call():
        details = SimpleNamespace(method="/inference.GRPCInferenceService/ModelInfer", invocation_metadata=())
        handler = await CountedCalls(metrics, opened({})).intercept_service(continuation, details)
        await handler.unary_unary(handler.request_deserializer(data), context)

    with pytest.raises(Aborted):
        asyncio.run(call())
    (code, text), counted = told
    assert code is grpc.StatusCode.INVALID_ARGUMENT and counted == "INVALID_ARGUMENT" and not asked
    assert text.startswith(f"Expected {said}") and len(text) < 1000
