"""Request bodies of all protocols: how they are put together, those that are to be refused, and any."""

import json
import struct

from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.serving_fixtures import NOW
from tests.serving_process import JSON

ANN = {"user_id": "ann", "k": 5, "timestamp": NOW}


def tensor(name, datatype, data, **changed):
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **changed}


USERS = tensor("user_id", "BYTES", ["ann", "new"])

TIMES = tensor("timestamp", "INT64", [NOW, NOW])


def packed(*texts):
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


TWO = packed(b"ann", b"new")


def binary(document, raw=TWO, length=None):
    head = json.dumps(document).encode()
    size = str(len(head)) if length is None else length
    return head + raw, {"content-type": "application/octet-stream", "inference-header-content-length": size}


RAW = {"name": "user_id", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 14}}


def message(*inputs, model="souk", **fields):
    return pb.ModelInferRequest(model_name=model, inputs=inputs, **fields)


def contents(name, datatype, shape, **values):
    made = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    for kind, entries in values.items():
        getattr(made.contents, kind).extend(entries)
    return made


ANN_USER = contents("user_id", "BYTES", [1], bytes_contents=[b"ann"])

DEEP = b"[" * 1000 + b"]" * 1000  # which can be read, and repr() fails on
BAD_V1 = {
    "empty": b"",
    "not json": b"{abc",
    "a form": b"a=1",
    "not utf-8": b"\xff\xfe",
    "a list": b"[1]",
    "a text": b'"instances"',
    "null": b"null",
    "an empty object": b"{}",
    "an unknown key": b'{"instance": []}',
    "another key": b'{"instances": [{"user_id": "a"}], "parameters": {}}',
    "instances no list": b'{"instances": {}}',
    "no instances": b'{"instances": []}',
    "an instance no object": b'{"instances": ["ann"]}',
    "one bad among good": b'{"instances": [{"user_id": "a"}, {"user_id": "b", "k": 51}]}',
    "a wrong type": b'{"instances": [{"user_id": 5}]}',
    "an unknown field": b'{"instances": [{"user": "a"}]}',
    "a range exchanged": b'{"instances": [{"user_id": "a", "filter": {"price": {"min": 60, "max": 10}}}]}',
    "NaN": b'{"instances": [{"user_id": "a", "k": NaN}]}',
    "a huge number": b'{"instances": [{"user_id": "a", "k": ' + b"9" * 400 + b"}]}",
    "half a surrogate pair": b'{"instances": [{"user_id": "\\ud800"}]}',
    "deep": b"[" * 100_000,
    "deep inside": b'{"instances":' + b"[" * 900 + b"]" * 900 + b"}",
    "a filter that is too deep to be quoted": b'{"instances":[{"filter":' + DEEP + b"}]}",
    "a type that is too deep": b'{"instances":[{"events":[{"item_id":"a","event_type":' + DEEP + b"}]}]}",
    "too large": b"x" * (2 << 20),
}
BAD_ROWS = {  # of events and of items
    "/v1/events": b'{"events":[{"event_type":' + DEEP + b"}]}",
    "/v1/items:upsert": b'{"items":[{"item_id":"x","title":' + DEEP + b"}]}",
}


def v2(*inputs, **fields):
    return json.dumps({"inputs": inputs, **fields}).encode(), JSON


BAD_V2 = {
    "empty": (b"", JSON),
    "not json": (b"{", JSON),
    "a list": (b"[]", JSON),
    "a text": (b'"abc"', JSON),
    "null": (b"null", {}),
    "deep": (b"[" * 100_000, JSON),
    "too large": (b"x" * (2 << 20), JSON),
    "no inputs": (b"{}", JSON),
    "inputs no list": (b'{"inputs": {}}', JSON),
    "empty inputs": v2(),
    "no user_id": v2(TIMES),
    "rows that differ": v2(USERS, tensor("k", "INT32", [1])),
    "no rows": v2(tensor("user_id", "BYTES", [])),
    "an unknown tensor": v2(USERS, tensor("kk", "INT32", [1, 2])),
    "a tensor twice": v2(USERS, USERS),
    "a shape too large": v2(tensor("user_id", "BYTES", ["a"], shape=[10**12])),
    "a negative shape": v2(tensor("user_id", "BYTES", ["a"], shape=[-1])),
    "no shape": v2(tensor("user_id", "BYTES", ["a"], shape=[])),
    "three dimensions": v2(tensor("user_id", "BYTES", ["a"], shape=[1, 1, 1])),
    "another datatype": v2(USERS, tensor("k", "FP32", [1, 2])),
    "no datatype": v2(USERS, tensor("k", "FOO", [1, 2])),
    "half floats": v2(USERS, tensor("k", "FP16", [1, 2])),
    "texts as numbers": v2(USERS, tensor("k", "INT32", ["1", {}])),
    "parts of numbers": v2(USERS, tensor("k", "INT32", [1.5, 2])),
    "a cell that is no json": v2(USERS, tensor("context", "BYTES", ["{", ""])),
    "a range exchanged": v2(USERS, tensor("filter", "BYTES", ['{"price": {"min": 60, "max": 10}}', ""])),
    "a cell of another kind": v2(USERS, tensor("exclude", "BYTES", ["{}", ""])),
    "half a surrogate pair": (
        b'{"inputs": [{"name": "user_id", "datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}',
        JSON,
    ),
    "half a surrogate pair as id": v2(USERS, id="\ud800"),
    "half a surrogate pair as id of a large body": v2(USERS, id="\ud800" + 5000 * "x"),
    "half a surrogate pair as datatype": v2(tensor("user_id", "\ud800", ["ann"])),
    "half a surrogate pair as name": v2(USERS, tensor("\ud800", "BYTES", ["ann", "bob"])),
    "half a surrogate pair as output": v2(USERS, outputs=[{"name": "\ud800"}]),
    "an unknown output": v2(USERS, outputs=[{"name": "price"}]),
    "parameters no object": v2(USERS, parameters=[1]),
    "a cell that is too deep": v2(USERS, tensor("filter", "BYTES", [DEEP.decode(), ""])),
    "binary: cut off": binary({"inputs": [RAW]}, packed(b"ann", b"new")[:-3]),
    "binary: length no number": binary({"inputs": [RAW]}, length="x"),
    "binary: length too large": binary({"inputs": [RAW]}, length="1000000"),
    "binary: length negative": binary({"inputs": [RAW]}, length="-5"),
    "binary: no inputs": binary({}),
    "binary: inputs no list": binary({"inputs": 5}),
    "binary: no name": binary({"inputs": [{"shape": [2]}]}),
    "binary: size no number": binary({"inputs": [{**RAW, "parameters": {"binary_data_size": "x"}}]}),
    "binary: parameters no object": binary({"inputs": [{**RAW, "parameters": 5}]}),
    "binary: not utf-8": binary(
        {"inputs": [{**RAW, "shape": [1], "parameters": {"binary_data_size": 5}}]}, packed(b"\xff")
    ),
    "binary: outputs no list": binary({"inputs": [RAW], "outputs": 5}),
    "binary: output no object": binary({"inputs": [RAW], "outputs": [{"name": "score", "parameters": 5}]}),
    "binary: output name no text": binary({"inputs": [RAW], "outputs": [{"name": [1]}]}),
    "binary: request parameters": binary({"inputs": [RAW], "parameters": [1]}),
    "binary: shape no list": binary({"inputs": [{**RAW, "shape": "ab"}]}),
    "binary: shape of lists": binary({"inputs": [tensor("user_id", "BYTES", ["a"], shape=[["x"]])]}, b""),
    "binary: name no text": binary({"inputs": [tensor([], "BYTES", ["a"])]}, b""),
    "binary: data no list": binary({"inputs": [{**tensor("user_id", "BYTES", ["a"]), "data": 5}]}, b""),
    "binary: datatype no text": binary({"inputs": [{**RAW, "datatype": 5}]}),
}

BAD_GRPC = {
    "nothing": message(),
    "an unknown tensor": message(ANN_USER, contents("kk", "INT32", [1], int_contents=[1])),
    "another datatype": message(contents("user_id", "FOO", [1])),
    "half floats": message(contents("user_id", "FP16", [1])),
    "a shape too large": message(contents("user_id", "BYTES", [2**62], bytes_contents=[b"ann"])),
    "a negative shape": message(contents("user_id", "BYTES", [-1], bytes_contents=[b"ann"])),
    "not utf-8": message(contents("user_id", "BYTES", [1], bytes_contents=[b"\xff"])),
    "a range exchanged": message(
        ANN_USER, contents("filter", "BYTES", [1], bytes_contents=[b'{"price": {"min": 60, "max": 10}}'])
    ),
    "k too large": message(ANN_USER, contents("k", "INT32", [1], int_contents=[51])),
    "an unknown output": message(ANN_USER, outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="price")]),
    "raw bytes cut off": message(contents("user_id", "BYTES", [1]), raw_input_contents=[b"\x09\x00\x00\x00a"]),
    "raw bytes and contents": message(ANN_USER, raw_input_contents=[b""]),
    "raw bytes too many": message(contents("user_id", "BYTES", [1]), raw_input_contents=[b"", b""]),
}

EVENT = {"ce-id": "1", "ce-type": "t", "ce-source": "s", "ce-specversion": "1.0"}
CLOUD_EVENTS = [
    (json.dumps({"instances": [ANN]}), {**JSON, **EVENT}, 200),
    (b"", EVENT, 400),
    (b"{", {**JSON, **EVENT}, 400),
    (b"{}", {**JSON, **EVENT, "ce-specversion": "9"}, 400),
    (b"{}", {"content-type": "application/cloudevents+json"}, 400),
    (json.dumps({"time": [], "type": [], "source": [], "id": [], "specversion": [], "data": 5}), {}, 400),
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)

NAMES = ("k", "timestamp", "context", "profile", "events", "exclude", "candidates", "filter")
FIELDS = dict.fromkeys(NAMES, JSON_VALUES)

BODIES = st.binary(max_size=50) | (
    JSON_VALUES
    | st.fixed_dictionaries({"instances": st.lists(st.fixed_dictionaries({"user_id": st.text()}, optional=FIELDS))})
    | st.fixed_dictionaries(
        {"inputs": st.lists(st.fixed_dictionaries(
            {"name": st.sampled_from(["user_id", "k", "context"]), "datatype": st.sampled_from(["BYTES", "INT32"]),
             "shape": st.lists(st.integers(-1, 3), max_size=2), "data": st.lists(JSON_VALUES, max_size=3)}))}
    )
).map(lambda value: json.dumps(value).encode())  # fmt: skip
