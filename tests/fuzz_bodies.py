"""Bodies that nobody would send by mistake: for a server that is to answer each, and stay as it is."""

import json

from hypothesis import strategies as st
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from souk.serving.protocol.tensors import INPUTS, OUTPUTS
from tests.serving_bodies import BODIES
from tests.serving_fixtures import IDS, NOW

HUGE = (
    10**400,
    -(10**400),
    2**63,
    2**64,
    -(2**63) - 1,
    1e308,
    -1e308,
    1e-320,
    float("nan"),
    float("inf"),
    -float("inf"),
)
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "ann",
        "bob",
        *IDS[:6],
        "click",
        "hide",
        "\ud800",
        "\x00",
        "\u202e",
        "𝕬" * 200,
        "x" * 600,
        "",
        " ",
        "null",
        "é" * 512,
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from(HUGE)


def nested(depth, leaf, kind):
    for _ in range(depth):
        leaf = [leaf] if kind else {"context": leaf}
    return leaf


DEEP = st.builds(nested, st.sampled_from([20, 300, 900]), SCALARS, st.booleans())
WIDE = st.builds(lambda value, count: [value] * count, SCALARS, st.sampled_from([101, 501, 2001, 10_001]))
ANY = (
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
    | DEEP
    | WIDE
)
EVENT = st.fixed_dictionaries(
    {"item_id": TEXTS | ANY, "event_type": st.sampled_from(["click", "hide", "impression", "rating"]) | ANY},
    optional={"timestamp": ANY, "value": ANY, "dwell_seconds": ANY, "context": ANY, "event_id": ANY},
)
FILTER = st.dictionaries(st.sampled_from(["category", "price", "title", "prise"]), ANY | st.dictionaries(
    st.sampled_from(["min", "max", "mim"]), SCALARS, max_size=3), max_size=3)  # fmt: skip
GOOD = {
    "user_id": st.sampled_from(["ann", "new"]),
    "item_id": st.sampled_from(IDS),
    "k": st.integers(1, 50),
    "timestamp": st.integers(0, NOW),
    "context": st.fixed_dictionaries({}, optional={"device": TEXTS, "basket": st.floats()}),
    "profile": st.fixed_dictionaries({}, optional={"region": TEXTS}),
    "exclude": st.lists(st.sampled_from(IDS), max_size=60),
    "candidates": st.lists(st.sampled_from(IDS), min_size=1),
    "filter": st.just({"price": {"min": 20}}),
    "events": st.lists(EVENT, max_size=3),
    "timeout_ms": st.integers(1, 60_000),
}
INSTANCE = st.fixed_dictionaries({}, optional={n: good | ANY for n, good in GOOD.items()} | {"filter": FILTER | ANY})
V1_BODIES = BODIES | st.fixed_dictionaries({"instances": st.lists(INSTANCE | ANY, max_size=3) | WIDE}).map(
    lambda value: json.dumps(value).encode()
)
CELLS = TEXTS | st.integers() | st.floats() | st.sampled_from(HUGE) | st.builds(
    json.dumps, st.lists(EVENT, max_size=2) | FILTER | ANY)  # fmt: skip
NAMES = st.sampled_from([*INPUTS, "kk"])
TYPES = st.sampled_from(["BYTES", "INT32", "INT64", "FP16", "FP32", "BOOL", "UINT64", "FOO"])
SHAPES = st.lists(st.integers(-2, 4) | st.sampled_from([2**31, 2**63, 10**30, 10**400]), max_size=3)
DATA = st.lists(CELLS, max_size=4)
TENSOR = st.fixed_dictionaries(
    {"name": NAMES | ANY, "datatype": TYPES | ANY, "shape": SHAPES | ANY, "data": DATA | ANY},
    optional={"parameters": ANY},
)
TYPED = st.fixed_dictionaries({"name": NAMES, "datatype": TYPES, "shape": SHAPES, "data": DATA})  # KServe takes them
FITTING = st.just([{"name": "user_id", "datatype": "BYTES", "shape": [2], "data": ["ann", "new"]}])
OUTPUT_NAMES = st.lists(st.fixed_dictionaries({"name": st.sampled_from(list(OUTPUTS)) | TEXTS}), max_size=3)
V2_BODIES = st.one_of(
    st.fixed_dictionaries({"inputs": FITTING}, optional={"outputs": OUTPUT_NAMES, "id": TEXTS, "parameters": ANY}),
    st.fixed_dictionaries(
        {"inputs": st.lists(TENSOR, max_size=4) | ANY},
        optional={
            "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(list(OUTPUTS)) | ANY})) | ANY,
            "id": ANY,
        },
    ),
    st.fixed_dictionaries({"inputs": st.lists(TYPED, min_size=1, max_size=4)}),
).map(lambda value: json.dumps(value).encode())
ROW = st.dictionaries(
    st.sampled_from(["event_id", "user_id", "item_id", "event_type", "timestamp", "value", "device", "price", "title"]),
    ANY,
)
ROWS_BODIES = st.one_of(
    ROW, st.fixed_dictionaries({"events": st.lists(ROW, max_size=3) | ANY}), st.fixed_dictionaries({"items": ANY}), ANY
).map(lambda value: json.dumps(value).encode())


@st.composite
def messages(draw):
    """Messages of the gRPC form whose shapes, datatypes and contents do not fit."""
    made = pb.ModelInferRequest(model_name=draw(st.sampled_from(["souk"] * 6 + ["other", ""])))
    rows = draw(st.integers(0, 3))
    for _ in range(draw(st.integers(0, 4))):
        tensor = made.inputs.add(
            name=draw(st.sampled_from([*INPUTS, "kk", ""])),
            datatype=draw(st.sampled_from(["BYTES", "INT32", "INT64", "FP16", "FP32", "BOOL", "FOO", ""])),
            shape=draw(st.just([rows]) | st.lists(st.sampled_from([-1, 0, 1, 2, 2**62]), max_size=3)),
        )
        own = st.lists(st.binary(max_size=12) | CELLS.map(lambda c: str(c).encode(errors="replace")), max_size=3)
        tensor.contents.bytes_contents.extend(draw(own))
        tensor.contents.int_contents.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2)))
        tensor.contents.int64_contents.extend(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2)))
        tensor.contents.fp32_contents.extend(draw(st.lists(st.floats(width=32), max_size=1)))
    made.raw_input_contents.extend(draw(st.lists(st.binary(max_size=40), max_size=2)))
    for name in draw(st.lists(st.sampled_from([*OUTPUTS, "price"]), max_size=2)):
        made.outputs.add(name=name)
    return made
