"""Lines of tokens keep the shape that they come from and go back to, where nothing looks at another."""

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.onnx_graphs import FLOAT, graph, kinds_of, run, same

ONE, LAST = np.array([1]), np.array([-1])


def lines(back="shape", wide=True, also=(), wanted="y", size=3, cut="whole"):
    """Tokens as TensorFlow Transform has them: a line of all, and the old shape of what comes of it."""
    nodes = [
        ("Slice", "t first length along", "own", {}),
        ("Slice", f"u first {'length' if cut == 'whole' else 'other'} along", "more", {}),
        ("Reshape", "own flat", "line", {}),
        ("Reshape", "more flat", "second", {}),
        ("Mul", "line two", "m", {}),
        ("Unsqueeze", "m last", "wide", {}),
        ("Less", "wide bounds", "below", {}),
        ("Cast", "below", "ones", {"to": FLOAT}),
        ("ReduceSum", "ones last", "bucket", {"keepdims": 0}),
        ("Shape", "own", "shape", {}),
        ("Reshape", f"bucket {back}", "a", {}),
        ("Add", "second two", "s", {}),
        ("Reshape", "s shape", "b", {}),
        ("Add", "a b", "y", {}),
        *also,
    ]
    given = {"first": np.array([0]), "length": np.array([2]), "other": np.array([1]), "along": ONE, "flat": LAST}
    given |= {"two": np.float32(2), "last": LAST, "bounds": np.array([1.0, 3.0, 5.0], np.float32)}
    given |= {"turned": np.array([2, 2])}
    inputs = [("t", FLOAT, [None, size]), ("u", FLOAT, [None, 3])]
    return graph(nodes, wanted, inputs=inputs, **given)


TOKENS = {
    "t": np.array([[0.2, 1, 9], [3, 4, 9]], np.float32),
    "u": np.array([[1, 2, 9], [-3, 4, 9]], np.float32),
}


def test_tokens_keep_their_shape():
    assert not kinds_of(same(lines(), TOKENS)) & {"Reshape", "Shape"}


@pytest.mark.parametrize(
    "more",
    [
        {"back": "turned"},
        {"also": [("ReduceSum", "m", "all", {"keepdims": 0}), ("Add", "y all", "z", {})], "wanted": "z"},
        {"also": [("ReduceSum", "m last", "all", {"keepdims": 1}), ("Add", "y all", "z", {})], "wanted": "z"},
        {"also": [("Add", "m places", "p", {}), ("Reshape", "p shape", "q", {}), ("Neg", "q", "z", {})], "wanted": "z"},
        {
            "also": [("Softmax", "m", "p", {"axis": 0}), ("Reshape", "p shape", "q", {}), ("Neg", "q", "z", {})],
            "wanted": "z",
        },
        {
            "also": [
                ("ReduceSum", "ones last", "p", {"keepdims": 1}),
                ("Reshape", "p shape", "q", {}),
                ("Neg", "q", "z", {}),
            ],
            "wanted": "z",
        },
        {"size": 5},
        {"cut": "other"},
    ],
    ids=[
        "another shape",
        "a sum of all",
        "a sum that stays",
        "numbers by place",
        "shares of all",
        "buckets that stay",
        "rows of other lengths",
        "rows with another end",
    ],
)
def test_other_lines_stay(more):
    model = lines(**more)
    if "places" in str(more):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "places"))
    values = TOKENS | ({"t": np.array([[0.2, 1, 9, 9, 9], [3, 4, 9, 9, 9]], np.float32)} if "size" in more else {})
    if "cut" in more:  # as many numbers, of other lines
        values = values | {"u": np.arange(12, dtype=np.float32).reshape(4, 3)}
    assert "Reshape" in kinds_of(same(model, values))


def test_lines_of_which_one_is_an_output_stay():
    model = lines()
    model.graph.output.append(helper.make_tensor_value_info("m", FLOAT, None))
    assert "Reshape" in kinds_of(same(model, TOKENS))


def test_a_line_that_is_an_output_stays_a_line():
    nodes = [
        ("Slice", "t first length along", "own", {}),
        ("Reshape", "own flat", "line", {}),
        ("Mul", "line two", "y", {}),
    ]
    given = {"first": np.array([0]), "length": np.array([2]), "along": ONE, "flat": LAST, "two": np.float32(2)}
    model = graph(nodes, "y", inputs=[("t", FLOAT, [None, 3])], **given)
    assert run(same(model, {"t": TOKENS["t"]}), {"t": TOKENS["t"]})[0].shape == (4,)
