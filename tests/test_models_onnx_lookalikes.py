"""Graphs that look like what is rewritten, and are something else: they give what they gave, in the same shapes."""

import numpy as np
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from souk.graphs import Graph
from souk.models.export import write
from tests.onnx_graphs import FLOAT, WHOLE, graph, kinds_of, same

SQUARE = np.array([[1, -2, 3], [0, 5, 4], [7, 7, -1]], np.float32)
LINE, WIDE = [1.0, 2.0, 3.0], np.arange(18, dtype=np.float32).reshape(2, 3, 3)


def norm(axes=(-1,), squares=(-1,), keep=1, scale=LINE, bias=LINE, epsilon=1.0, before=()):
    nodes = [
        *before,
        ("ReduceMean", "x axes", "m", {"keepdims": keep}),
        ("Sub", "x m", "d", {}),
        ("Mul", "d d", "s", {}),
        ("ReduceMean", "s squares", "w", {"keepdims": keep}),
        ("Add", "w e", "we", {}),
        ("Sqrt", "we", "r", {}),
        ("Reciprocal", "r", "rr", {}),
        ("Mul", "rr g", "n", {}),
        ("Neg", "m", "neg", {}),
        ("Mul", "neg n", "ns", {}),
        ("Add", "ns b", "shift", {}),
        ("Mul", "x n", "scaled", {}),
        ("Add", "scaled shift", "z", {}),
    ]
    given = {"axes": np.array(axes, np.int64), "squares": np.array(squares, np.int64)}
    given |= {"e": np.array(epsilon, np.float32), "b": np.array(bias, np.float32)}
    given |= {"whole" if before else "g": np.array(scale, np.float32)}
    return graph(nodes, "z", inputs=[("x", FLOAT, [3, 3])], **given)


CAST = [("Cast", "whole", "cut", {"to": WHOLE}), ("Cast", "cut", "g", {"to": FLOAT})]
OTHER_NORMS = {
    "means that drop their axis": {"keep": 0},
    "a scale by row": {"scale": [[1], [2], [3]]},
    "a scale of each value": {"scale": np.arange(9).reshape(3, 3)},
    "a bias by row": {"bias": [[1], [2], [3]]},
    "a scale with an axis more": {"scale": [[LINE]]},
    "an epsilon with an axis more": {"epsilon": [[[1.0]]]},
    "a mean of all": {"axes": ()},
    "a variance of all": {"squares": ()},
    "an epsilon by column": {"epsilon": LINE},
    "a scale that is cut to whole numbers": {"scale": [1.5, 2.5, 3.5], "before": CAST},
}


@pytest.mark.parametrize("more", OTHER_NORMS.values(), ids=OTHER_NORMS)
def test_another_norm_stays(more):
    assert "LayerNormalization" not in kinds_of(same(norm(**more), {"x": SQUARE}))


def test_the_norm_that_the_others_differ_from_is_one():
    assert kinds_of(same(norm(scale=[LINE], epsilon=[1.0]), {"x": SQUARE})) == {"LayerNormalization"}


def product(places=(0, 1), width=(2,), order=(0, 1, 2), matrix=(3, 2), more=(), outputs=()):
    nodes = [
        ("Transpose", "x", "t", {"perm": order}),
        ("Shape", "x", "shape", {}),
        ("Cast", "shape", "sizes", {"to": TensorProto.INT32}),
        ("Gather", "sizes places", "kept", {}),
        ("Concat", "kept width", "whole", {"axis": 0}),
        ("Cast", "whole", "wanted", {"to": WHOLE}),
        ("Reshape", "t lines", "flat", {}),
        ("MatMul", "flat matrix", "some/Tensordot/MatMul", {}),
        ("Reshape", "some/Tensordot/MatMul wanted", "y", {}),
        ("Neg", "y", "z", {}),
        *more,
    ]
    values = np.arange(np.prod(matrix), dtype=np.float32).reshape(matrix)
    given = {"places": np.array(places, np.int32), "width": np.array(width, np.int32), "lines": np.array([-1, 3])}
    return graph(nodes, "z", inputs=[("x", FLOAT, [2, 3, 3])], more=outputs, matrix=values, **given)


OTHER_PRODUCTS = {
    "of the axis before the last": {"order": (0, 2, 1)},
    "with the first two exchanged": {"order": (1, 0, 2)},
    "by a line": {"matrix": (3,), "width": (1,)},
    "by two axes": {"matrix": (3, 4), "width": (2, 2)},
    "with axes in another order": {"places": (1, 0)},
    "whose lines others read": {"more": [("Exp", "some/Tensordot/MatMul", "o", {})], "outputs": [("o", FLOAT)]},
    "whose lines are an output": {"outputs": [("some/Tensordot/MatMul", FLOAT)]},
}


@pytest.mark.parametrize("more", OTHER_PRODUCTS.values(), ids=OTHER_PRODUCTS)
def test_another_product_stays(more):
    assert "Reshape" in kinds_of(same(product(**more), {"x": WIDE}))


def test_the_product_that_the_others_differ_from_is_one():
    assert kinds_of(same(product(), {"x": WIDE})) == {"MatMul", "Neg"}


def test_a_product_of_what_has_nobody_knows_how_many_axes_stays():
    nodes = [
        ("Shape", "x", "shape", {}),
        ("Gather", "shape none", "kept", {}),
        ("Concat", "kept width", "whole", {"axis": 0}),
        ("Reshape", "x lines", "flat", {}),
        ("MatMul", "flat matrix", "lines_of_two", {}),
        ("Reshape", "lines_of_two whole", "y", {}),
        ("Neg", "y", "z", {}),
    ]
    given = {"none": np.zeros(0, np.int64), "width": np.array([2]), "lines": np.array([-1, 3])}
    model = graph(nodes, "z", inputs=[("x", FLOAT, None)], matrix=np.ones((3, 2), np.float32), **given)
    assert "Reshape" in kinds_of(same(model, {"x": SQUARE[:1]}))


def test_a_product_of_tensorflow_by_another_axis_is_translated(tmp_path):
    class Model(tf.Module):
        def serve(self, x):
            return {"y": tf.tensordot(x, tf.reshape(tf.range(6.0), [3, 2]), axes=[[1], [0]])}

    model = Model()
    write(model, tmp_path, serve=(model.serve, {"x": tf.TensorSpec([None, 3, 3], tf.float32, name="x")}))
    np.testing.assert_allclose(Graph(tmp_path / "serve.onnx")({"x": WIDE})["y"], model.serve(tf.constant(WIDE))["y"])


def buckets(wide=2, line=1, summed=2, keep=0, flat=(1, -1), bounds=((-1, 0, 1, 2),), more=(), outputs=()):
    nodes = [
        ("Reshape", "x flat", "fl", {}),
        ("Unsqueeze", "fl wide", "wi", {}),
        ("Unsqueeze", "bounds line", "bo", {}),
        ("Less", "wi bo", "le", {}),
        ("Not", "le", "no", {}),
        ("Cast", "no", "ca", {"to": WHOLE}),
        ("ReduceSum", "ca summed", "su", {"keepdims": keep}),
        ("Shape", "x", "shape", {}),
        ("Reshape", "su shape", "y", {}),
        ("Neg", "y", "z", {}),
        *more,
    ]
    axes = {"wide": np.array([wide]), "line": np.array([line]), "summed": np.array([summed]), "flat": np.array(flat)}
    return graph(nodes, "z", WHOLE, [("x", FLOAT, [4])], outputs, bounds=np.array(bounds, np.float32), **axes)


OTHER_BUCKETS = {
    "by bound": {"summed": 1},
    "the other way round": {"wide": 1, "line": 2},
    "with the axis kept": {"keep": 1},
    "with other bounds for each half": {"flat": (2, -1), "bounds": ((-1, 0), (1, 2))},
    "of three axes": {"flat": (1, 1, 4)},
    "whose column others read": {"more": [("Neg", "wi", "o", {})], "outputs": [("o", FLOAT)]},
    "whose comparison others read": {"more": [("Not", "le", "o", {})], "outputs": [("o", TensorProto.BOOL)]},
    "whose places others read": {"more": [("Neg", "ca", "o", {})], "outputs": [("o", WHOLE)]},
    "whose line is an output": {"outputs": [("su", WHOLE)]},
}


@pytest.mark.parametrize("more", OTHER_BUCKETS.values(), ids=OTHER_BUCKETS)
def test_other_buckets_stay(more):
    assert "Shape" in kinds_of(same(buckets(**more), {"x": np.array([0.5, -3, 1, 9], np.float32)}))


def test_the_buckets_that_the_others_differ_from_have_no_shape():
    kinds = kinds_of(same(buckets(), {"x": np.array([0.5, -3, 1, 9], np.float32)}))
    assert not kinds & {"Shape", "Reshape"}


def place_of(rows=4, zero=0):
    nodes = [
        ("Less", "i zero", "less", {}),
        ("Add", "i rows", "more", {}),
        ("Where", "less more i", "place", {}),
        ("Gather", "table place", "z", {}),
    ]
    table = np.arange(16, dtype=np.float32).reshape(4, 4)
    return graph(nodes, "z", inputs=[("i", WHOLE, [])], rows=np.array(rows), zero=np.array(zero), table=table)


@pytest.mark.parametrize("more", [{"rows": [4]}, {"zero": [0]}, {"rows": [4, 4]}, {"zero": [0, 0]}])
def test_one_place_that_becomes_a_line_stays_a_line(more):
    assert "Where" in kinds_of(same(place_of(**more), {"i": np.array(-1)}))


def stepping(step, kind=None, inputs=(("i", WHOLE, [2]),)):
    nodes = [
        ("Cast", "given", "p", {"to": kind or WHOLE}),
        ("Less", "p zero", "back", {}),
        ("Equal", "i most", "whole", {}),
        ("And", "whole back", "both", {}),
        ("Where", "both least i", "y", {}),
        ("Neg", "y", "z", {}),
    ]
    zero = np.array([0], helper.tensor_dtype_to_np_dtype(kind or WHOLE))
    given = {"given": np.array(step), "zero": zero, "most": np.array(2), "least": np.array(-9)}
    return graph(nodes, "z", WHOLE, inputs, **given)


def test_a_step_that_is_negative_in_fewer_bits_steps_back():
    assert "Where" in kinds_of(same(stepping([200], TensorProto.INT8), {"i": np.array([2, -1])}))


def test_an_end_that_becomes_a_line_stays_a_line():
    assert "Where" in kinds_of(same(stepping([1, 1], inputs=[("i", WHOLE, [])]), {"i": np.array(2)}))


def test_an_end_that_is_small_in_fewer_bits_cuts():
    nodes = [("Cast", "far", "e", {"to": TensorProto.INT32}), ("Slice", "x s e a", "y", {}), ("Neg", "y", "z", {})]
    given = {"far": np.array([2**32 + 1]), "s": np.array([0], np.int32), "a": np.array([1], np.int32)}
    assert "Slice" in kinds_of(same(graph(nodes, "z", **given)))


def test_a_graph_with_graphs_of_its_own_stays_as_it_is():
    inner = [
        helper.make_graph(
            [helper.make_node(kind, ["y"], [out])], out, [], [helper.make_tensor_value_info(out, FLOAT, None)]
        )
        for kind, out in (("Neg", "a"), ("Exp", "b"))
    ]
    nodes = [("Identity", "x", "y", {}), ("If", "yes", "z", {"then_branch": inner[0], "else_branch": inner[1]})]
    assert kinds_of(same(graph(nodes, "z", yes=np.array(True)))) == {"Identity", "If"}


def test_a_constant_node_that_holds_no_tensor_is_none():
    nodes = [("Constant", "", "e", {"value_ints": [10**9]}), ("Slice", "x s e", "y", {}), ("Neg", "y", "z", {})]
    assert "Slice" in kinds_of(same(graph(nodes, "z", s=np.array([0]))))


def test_a_constant_is_one_by_a_node_too():
    end = numpy_helper.from_array(np.array([10**9]))
    nodes = [("Constant", "", "e", {"value": end}), ("Slice", "x s e", "y", {}), ("Neg", "y", "z", {})]
    assert kinds_of(same(graph(nodes, "z", s=np.array([0])))) == {"Neg"}
