"""A graph that computes for as long as it is told to: a model that is slow, and not one that sleeps."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

FOR_GOOD = 1 << 40  # turns


def looping(turns: int, reads: str = "x", gives: str = "y") -> bytes:
    """The bytes of an ONNX graph that turns a loop so often, and gives a number for each row of the matrix it reads."""
    tensor, node = helper.make_tensor_value_info, helper.make_node
    turn = helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Sin", ["one"], ["next"])],
        "turn",
        [tensor("n", TensorProto.INT64, []), tensor("go", TensorProto.BOOL, []), tensor("one", TensorProto.FLOAT, [])],
        [tensor("on", TensorProto.BOOL, []), tensor("next", TensorProto.FLOAT, [])],
    )
    start = helper.make_tensor("start", TensorProto.FLOAT, [], [1.0])
    count = helper.make_tensor("count", TensorProto.INT64, [], [turns])
    whole = helper.make_graph(
        [
            node("Loop", ["count", "", "start"], ["end"], body=turn),
            node("Shape", [reads], ["shape"], start=0, end=1),
            node("Expand", ["end", "shape"], [gives]),
        ],
        "looping",
        [tensor(reads, TensorProto.FLOAT, ["rows", "columns"])],
        [tensor(gives, TensorProto.FLOAT, ["rows"])],
        [start, count],
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
