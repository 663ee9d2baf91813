"""What is computed of sizes need not be where they are known, and what only looks like that gives what it gave."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from souk.models.onnx_nodes import Nodes
from souk.models.onnx_passes import simplified
from souk.models.onnx_shapes import Sizes
from tests.onnx_graphs import FLOAT, WHOLE, graph, kinds_of, same

SHORT, FAR = TensorProto.INT32, 1e9
X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def counted(model, kind):
    return sum(node.op_type == kind for node in model.graph.node)


def test_what_is_computed_twice_is_computed_once():
    nodes = [
        ("Unsqueeze", "two here", "a", {}),
        ("Unsqueeze", "other again", "b", {}),
        ("Mul", "x a", "c", {}),
        ("Mul", "x b", "d", {}),
        ("Neg", "c", "e", {}),
        ("Neg", "d", "f", {}),
        ("Sub", "x twice", "g", {}),
        ("Add", "e f", "h", {}),
        ("Add", "h g", "y", {}),
    ]
    constants = {"two": np.float32(2), "other": np.float32(2), "here": np.array([0]), "again": np.array([0])}
    model = same(graph(nodes, "y", twice=np.full(3, 2, np.float32), **constants))
    assert [counted(model, kind) for kind in ("Unsqueeze", "Mul", "Neg", "Sub")] == [0, 1, 1, 1]


def test_the_same_of_other_numbers_or_attributes_stays_twice():
    nodes = [
        ("Softmax", "x", "a", {"axis": 0}),
        ("Softmax", "x", "b", {"axis": 1}),
        ("Mul", "a two", "c", {}),
        ("Mul", "b three", "d", {}),
        ("Add", "c d", "y", {}),
    ]
    model = same(graph(nodes, "y", two=np.float32(2), three=np.float32(3)))
    assert counted(model, "Softmax") == 2 and counted(model, "Mul") == 2


def sliced(limits, parts, steps=(1, 1), starts=(0, 0), kind=WHOLE):
    """A slice as tf2onnx writes one that ends where a mask or a size says."""
    nodes = [
        ("ReduceMax", "i", "most", {"keepdims": 0}),
        ("Unsqueeze", "most here", "size", {}),
        ("Concat", parts, "both", {"axis": 0}),
        ("Cast", "both", "real", {"to": FLOAT}),
        ("Max", "real limits", "ends", {}),
        ("Cast", "ends", "long", {"to": kind}),
        ("Slice", "x starts long axes steps", "y", {}),
    ]
    line = np.int64 if kind == WHOLE else np.int32
    told = {"starts": starts, "axes": (0, 1), "steps": steps}
    given = {name: np.array(value, line) for name, value in told.items()}
    inputs = [("x", FLOAT, [None, 3]), ("i", WHOLE, [None])]
    constants = {"here": np.array([0]), "zero": np.array([0]), "limits": np.array(limits, np.float32)}
    return graph(nodes, "y", inputs=inputs, **constants, **given)


ROWS = {"x": np.arange(9, dtype=np.float32).reshape(3, 3), "i": np.array([2, 1])}


@pytest.mark.parametrize("kind", [WHOLE, SHORT])
@pytest.mark.parametrize(
    ("limits", "parts", "left"), [((FAR, -FAR), "zero size", 0), ((-FAR, -FAR), "size size", 1)], ids=["one", "both"]
)
def test_a_slice_is_told_of_the_axes_that_it_cuts(limits, parts, left, kind):
    model = same(sliced(limits, parts, kind=kind), ROWS)
    assert counted(model, "Max") == 0 and counted(model, "Concat") == left


@pytest.mark.parametrize(
    "more",
    [
        {"limits": (FAR, 1)},
        {"limits": (-FAR, 3), "parts": "size zero"},
        {"limits": (FAR, -FAR), "starts": (1, 0)},
        {"limits": (FAR, -FAR), "steps": (2, 1)},
    ],
    ids=str,
)
def test_another_slice_stays(more):
    assert "Max" in kinds_of(same(sliced(**{"parts": "zero size"} | more), ROWS))


def picked(start, end, width=3, steps=(1, 1)):
    nodes = [("Slice", "x starts ends axes steps", "cut", {}), ("Squeeze", "cut away", "y", {})]
    told = {"starts": (0, start), "ends": (2**31 - 1, end), "axes": (0, 1), "steps": steps, "away": (1,)}
    return graph(nodes, "y", inputs=[("x", FLOAT, [None, width])], **{n: np.array(v) for n, v in told.items()})


@pytest.mark.parametrize(("start", "width", "kind"), [(0, 3, "Gather"), (2, 3, "Gather"), (0, 1, "Squeeze")])
def test_a_column_is_picked_by_one_node(start, width, kind):
    values = {"x": np.arange(2 * width, dtype=np.float32).reshape(2, width)}
    assert kinds_of(same(picked(start, start + 1, width), values)) == {kind}


def test_a_column_counted_from_the_end_stays():
    assert kinds_of(same(picked(-2, -1), {"x": X[0, :, :3]})) == {"Slice", "Squeeze"}


@pytest.mark.parametrize("width", [1, 3])
def test_a_column_of_every_other_row_stays(width):
    values = {"x": np.arange(4 * width, dtype=np.float32).reshape(4, width)}
    assert "Slice" in kinds_of(same(picked(0, 1, width, steps=(2, 1)), values))


@pytest.mark.parametrize(("bias", "fewer"), [([1.0, -2.0], 0), ([[1.0, -2.0]], 1)], ids=["a line", "a row"])
def test_a_product_less_numbers_is_one_operation(bias, fewer):
    nodes = [("MatMul", "x w", "p", {}), ("Sub", "p b", "y", {})]
    given = {"w": np.array([[1, 2], [3, 4], [5, 6]], np.float32), "b": np.array(bias, np.float32)}
    assert counted(same(graph(nodes, "y", **given)), "Sub") == fewer


def entry(of, at, name):
    """The nodes of one entry of a shape, as TensorFlow has them."""
    return [
        ("Shape", of, f"{name}_s", {}),
        ("Cast", f"{name}_s", f"{name}_c", {"to": SHORT}),
        ("Slice", f"{name}_c n{at} n{at + 1} n0", name, {}),
    ]


NUMBERS = {f"n{number}": np.array([number], np.int32) for number in range(5)}


def shaped(parts, before=(), last="x", wide=(2, 3, 4), rows=None):
    nodes = [
        *before,
        ("Concat", parts, "sizes", {"axis": 0}),
        ("Cast", "sizes", "long", {"to": WHOLE}),
        ("Reshape", f"{last} long", "z", {}),
        ("Neg", "z", "y", {}),
    ]
    more = {"w": np.arange(16, dtype=np.float32).reshape(4, 4), "b": np.arange(4, dtype=np.float32)}
    return graph(nodes, "y", inputs=[("x", FLOAT, rows or [None, None, 4])], **NUMBERS, **more)


HEADS = [*entry("x", 0, "rows"), *entry("x", 1, "length")]


def test_heads_are_split_off_and_put_together_again_without_a_word_of_sizes():
    nodes = [
        *HEADS,
        ("MatMul", "x w", "p", {}),
        ("Add", "p b", "q", {}),
        ("Concat", "rows length n2 n2", "split", {"axis": 0}),
        ("Cast", "split", "wide", {"to": WHOLE}),
        ("Reshape", "q wide", "heads", {}),
        ("Transpose", "heads", "turned", {"perm": [0, 2, 1, 3]}),
        ("Softmax", "turned", "soft", {"axis": -1}),
        ("Transpose", "soft", "back", {"perm": [0, 2, 1, 3]}),
    ]
    model = same(shaped("rows length n4", nodes, "back"), {"x": X})
    assert not kinds_of(model) & {"Shape", "Slice", "Concat", "Cast"} and counted(model, "Reshape") == 2


def test_one_size_that_is_not_known_follows_from_the_others():
    model = same(shaped("rows n3 n4", entry("x", 0, "rows"), rows=[None, 3, 4]), {"x": X})
    assert "Shape" not in kinds_of(model)


def test_a_shape_that_is_there_already_is_not_made_again():
    nodes = [*HEADS, ("Unsqueeze", "x far", "u", {}), ("Tile", "u ones", "t", {})]
    model = shaped("rows length n4", nodes, "t")
    for name, value in (("far", [1]), ("ones", [1, 1, 1, 1])):
        model.graph.initializer.append(helper.make_tensor(name, WHOLE, [len(value)], value))
    assert kinds_of(same(model, {"x": X})) == {"Neg"}


@pytest.mark.parametrize("parts", ["length rows n4", "length n4 rows"], ids=["turned", "turned further"])
def test_sizes_in_another_order_stay(parts):
    assert "Shape" in kinds_of(same(shaped(parts, HEADS), {"x": X}))


def test_two_sizes_of_something_else_stay():
    nodes = [*HEADS, ("Transpose", "x", "turned", {"perm": [1, 0, 2]})]
    assert "Shape" in kinds_of(same(shaped("rows length n4", nodes, "turned"), {"x": X}))


def test_a_tile_of_more_than_one_stays():
    nodes = [*HEADS, ("Tile", "x counts", "t", {})]
    model = shaped("rows length n4 n2", nodes, "t")
    model.graph.initializer.append(helper.make_tensor("counts", WHOLE, [3], [1, 1, 2]))
    assert "Tile" in kinds_of(same(model, {"x": X}))


def sized(nodes, name="y", **more):
    """The sizes that are told of a value."""
    inputs = [("x", FLOAT, [None, None, 4]), ("u", FLOAT, [None, 4, 5]), ("v", FLOAT, [None]), ("l", WHOLE, [1])]
    constants = {"flat": np.zeros(4, np.float32), "high": np.zeros((3, 4), np.float32), **more}
    return Sizes(Nodes(graph(nodes, name, inputs=inputs, **NUMBERS, **constants).graph)).of(name)


WHOLE_X = [("x", 0), ("x", 1), 4]


@pytest.mark.parametrize(
    ("nodes", "sizes"),
    [
        ([("Add", "x flat", "y", {})], WHOLE_X),
        ([("Mul", "flat x", "y", {})], WHOLE_X),
        ([("Sigmoid", "x", "a", {}), ("Add", "a x", "y", {})], WHOLE_X),
        ([("Add", "x high", "y", {})], []),  # three rows of x where it has one
        ([("Add", "x v", "y", {})], WHOLE_X),
        ([("MatMul", "x u", "y", {})], []),  # of the batch of either
        ([("MatMul", "x v", "y", {})], []),  # an axis less
        ([("MatMul", "x w", "y", {})], [("x", 0), ("x", 1), 2]),
        ([*entry("x", 1, "n"), ("Slice", "mask n0 n n0", "y", {})], [("x", 1), 9]),
        ([*entry("x", 1, "n"), ("Slice", "mask n1 n n0", "y", {})], []),
        ([*entry("x", 1, "n"), ("Slice", "mask n0 n n0", "m", {}), ("Add", "m part", "y", {})], [("x", 1), 9]),
        ([("Slice", "mask n0 n4 n1", "y", {})], [9, 4]),
        ([("Slice", "mask n0 n4 n1 n2", "y", {})], []),
        ([("Slice", "mask n0 n4 minus", "y", {})], []),
        ([*entry("x", 1, "n"), ("Slice", "one n0 n n0", "y", {})], []),
    ],
    ids=str,
)
def test_sizes_are_told_as_far_as_they_have_to_be_so(nodes, sizes):
    more = {"w": np.zeros((4, 2), np.float32), "mask": np.zeros((9, 9), np.float32), "part": np.zeros(9, np.float32)}
    more |= {"minus": np.array([-1], np.int32), "one": np.zeros((1, 9), np.float32)}
    assert sized(nodes, **more) == sizes


def test_a_row_that_is_repeated_by_a_sum_keeps_its_new_shape():
    nodes = [*HEADS, ("Add", "x high", "a", {})]
    model = shaped("rows n3 n4", [*nodes, ("Neg", "a", "b2", {})], "b2", rows=[None, None, 4])
    model.graph.initializer.append(helper.make_tensor("high", FLOAT, [3, 4], [0.5] * 12))
    same(model, {"x": X[:, :1]})


def test_words_that_are_compared_are_told_apart():
    words = [f"w{at:02d}" for at in range(30)]
    nodes = [(name, f"{given} {at}", f"{name}{at}", {}) for at, given in enumerate(["w"] * 30) for name in ["Equal"]]
    nodes += [("Cast", f"Equal{at}", f"c{at}", {"to": FLOAT}) for at in range(30)]
    nodes += [("Mul", f"c{at} by{at}", f"m{at}", {}) for at in range(30)]
    nodes += [("Sum", " ".join(f"m{at}" for at in range(30)), "y", {})]
    constants = {str(at): np.array(word, object) for at, word in enumerate(words)}
    constants |= {f"by{at}": np.float32(at + 1) for at in range(30)}
    model = graph(nodes, "y", inputs=[("w", TensorProto.STRING, [None])], **constants)
    assert counted(same(model, {"w": np.array(words, object)}), "Equal") == 30


def test_a_graph_of_many_nodes_in_a_line_is_no_recursion():
    nodes = [(("Sigmoid", f"v{at}" if at else "x", f"v{at + 1}", {})) for at in range(3000)]
    model = graph([*nodes, ("Neg", "v3000", "y", {})], "y")
    simplified(model)
    assert counted(model, "Sigmoid") == 3000
