"""The same numbers from fewer nodes: what the translation spells out of our layers, said in one operation.

A node takes a microsecond however little it computes, and several where a request finds the processor's caches cold.
`souk.models.onnx_graph` compares what comes of it with the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, shape_inference

from souk.models.onnx_features import columns, lookups, rows, together, tokens, words
from souk.models.onnx_nodes import Nodes, order, same, told
from souk.models.onnx_shapes import ends, kept, less, once, picked

WHOLE = 10**9  # a slice that ends here or later ends with its axis
NUMBERS = "biuf"  # kinds of numpy's types
LINE_KEPT = ("Reshape", "Unsqueeze", "Squeeze")  # the order of what it holds stays


def simplified(model: Any) -> None:
    """Rewrites the graph of a model in place, and leaves out what nothing looks at any more.

    One that holds graphs of its own, as loops do, stays as it is: they may read any value of it.
    """
    if any(each.HasField("g") or each.graphs for node in model.graph.node for each in node.attribute):
        return
    for rewrites in (
        (_identities, _casts),
        (_one_product, _forward_slices, _whole_slices, _negative_places, _buckets, _norms),
        (_lines,),
        (once, words, columns),
        (lookups, ends, once, picked, rows, less),
        (tokens,),
        (kept,),
        (together,),
    ):
        _infer(model)
        for rewrite in rewrites:
            rewrite(Nodes(model.graph))
            _prune(model.graph)
    del model.graph.value_info[:]


def _infer(model: Any) -> None:
    """Tells the shapes of values, as far as they can be told; those of before a rewrite may be others now."""
    del model.graph.value_info[:]
    model.CopyFrom(shape_inference.infer_shapes(model))


def _identities(own: Nodes) -> None:
    for node in own.nodes:
        if node.op_type == "Identity":
            own.instead(node, node.input[0])


def _casts(own: Nodes) -> None:
    """A constant is made one of another type here, where nothing of it is lost: what is left to do tells no shapes."""
    for node in own.nodes:
        value = own.value(node, 0) if node.op_type == "Cast" else None
        if value is None or value.dtype.kind not in NUMBERS:
            continue
        kind = helper.tensor_dtype_to_np_dtype(told(node, "to", TensorProto.UNDEFINED))
        with np.errstate(all="ignore"):
            made = value.astype(kind)
            kept = kind.kind in NUMBERS and np.array_equal(made.astype(value.dtype), value, equal_nan=True)
        if kept:
            own.instead(node, own.constant(made))


def _one_product(own: Nodes) -> None:
    """One product of each dense layer over more than two axes, for which Keras has a `tensordot`.

    That is a matrix product between two changes of shape, with some twenty nodes to compute the shapes. The shape of
    the result tells that it is the last axis that is multiplied: all others in their order, and one of the matrix.
    """
    for node in own.nodes:
        flat = own.back(node.input[0], "Reshape") if node.op_type == "MatMul" else None
        shaped = own.sole(node) if flat is not None else None
        if flat is None or shaped is None or shaped.op_type != "Reshape" or shaped.input[0] != node.output[0]:
            continue
        x, matrix = flat.input[0], own.value(node, 1)
        if (turned := own.back(x, "Transpose")) is not None and order(turned) == list(range(own.rank(turned.input[0]))):
            x = turned.input[0]
        if matrix is not None and matrix.ndim == 2 and _is_all_but_last(own, shaped.input[1], x, matrix.shape[1]):
            node.input[0] = x
            node.output[0], shaped.output[0] = shaped.output[0], node.output[0]


def _is_all_but_last(own: Nodes, name: str, x: str, width: int) -> bool:
    """Whether a shape is that of x with `width` in the place of its last axis."""
    sizes = own.back(own.uncast(name), "Concat")
    kept = own.back(own.uncast(sizes.input[0]), "Gather") if sizes is not None and len(sizes.input) == 2 else None
    shape = own.back(own.uncast(kept.input[0]), "Shape") if kept is not None else None
    if shape is None or shape.attribute or shape.input[0] != x or own.rank(x) < 2:
        return False
    return same(own.value(sizes, 1), [width]) and same(own.value(kept, 1), [*range(own.rank(x) - 1)])


def _forward_slices(own: Nodes) -> None:
    """Where a slice ends if it steps back, which none does whose steps are constants above 0."""
    for node in own.nodes:
        both = own.back(node.input[0], "And") if node.op_type == "Where" else None
        shape = own.shapes.get(node.input[2]) if both is not None else None
        if shape is None or None in shape or shape != own.shapes.get(node.output[0]):
            continue  # what is chosen from may be wider
        for below in (own.back(name, "Less") for name in (both.input if both is not None else ())):
            steps, zero = (own.value(below, place) for place in (0, 1)) if below is not None else (None, None)
            if steps is not None and zero is not None and (steps >= zero).all():
                own.instead(node, node.input[2])


def _whole_slices(own: Nodes) -> None:
    """A new axis is an `Unsqueeze`, and a slice of all that there is."""
    for node in own.nodes:
        if node.op_type != "Slice":
            continue
        starts, ends = own.value(node, 1), own.value(node, 2)
        steps = own.value(node, 4) if len(node.input) > 4 else np.ones(1)
        if starts is None or ends is None or steps is None:
            continue
        if not starts.any() and (ends >= WHOLE).all() and (steps == 1).all():
            own.instead(node, node.input[0])


def _negative_places(own: Nodes) -> None:
    """Keras' embeddings count negative places from the end, as `Gather` does by itself."""
    for node in own.nodes:
        chosen = own.back(node.input[1], "Where") if node.op_type == "Gather" else None
        if chosen is None:
            continue
        asked, moved, places = chosen.input
        below, added = own.back(asked, "Less"), own.back(moved, "Add")
        table = own.value(node, 0)
        if below is None or added is None or table is None or not same(own.value(below, 1), 0):
            continue
        rows = [own.value(added, place) for place, name in enumerate(added.input) if name != places]
        counted = len(rows) == 1 and same(rows[0], len(table))
        if own.uncast(below.input[0]) == places and counted and told(node, "axis", 0) == 0:
            node.input[1] = places


def _buckets(own: Nodes) -> None:
    """TensorFlow Transform makes a line of what it puts into buckets, and the old shape of the line of buckets."""
    for node in own.nodes:
        below = own.back(node.input[0], "Cast", "Not", "Less") if node.op_type == "ReduceSum" else None
        if below is None or not same(own.value(node, 1), [2]) or told(node, "keepdims", 1):
            continue
        wide, bounds = (own.back(name, "Unsqueeze") for name in below.input)
        flat, back = own.back(below.input[0], "Unsqueeze", "Reshape"), own.sole(node)
        if wide is None or bounds is None or flat is None or back is None or back.op_type != "Reshape":
            continue
        ordered, shape = own.value(bounds, 0), own.back(own.uncast(back.input[1]), "Shape")
        if shape is None or shape.attribute or shape.input[0] != flat.input[0] or own.rank(flat.output[0]) != 2:
            continue
        if ordered is None or ordered.ndim != 2 or len(ordered) != 1:  # a line of bounds for each line of values
            continue
        if not (same(own.value(wide, 1), [2]) and same(own.value(bounds, 1), [1])):
            continue
        line = [wide, below, own.back(node.input[0], "Cast", "Not"), own.back(node.input[0], "Cast")]
        if any(own.sole(each) is None for each in line):  # others read what changes its shape
            continue
        last = own.constant(np.array([-1], np.int64))
        wide.input[:] = [flat.input[0], last]
        below.input[1] = own.constant(ordered.reshape(-1))
        node.input[1] = last
        node.output[0], back.output[0] = back.output[0], node.output[0]


def _norms(own: Nodes) -> None:
    """Keras' layer normalisation, x · γ/σ + (β - μ · γ/σ), is one operation."""
    for node in own.nodes:
        for scaled, shift in (node.input, node.input[::-1]) if node.op_type == "Add" else ():
            if found := _norm(own, scaled, shift):
                x, scale, bias, epsilon = found
                given = [x, *(own.constant(values.reshape(-1)) for values in (scale, bias))]
                rules: dict[str, Any] = {"axis": -1, "epsilon": epsilon}
                node.CopyFrom(helper.make_node("LayerNormalization", given, list(node.output), node.name, **rules))
                break


def _norm(own: Nodes, scaled: str, shift: str) -> tuple[str, np.ndarray, np.ndarray, float] | None:
    """The input, γ, β and ε of a normalisation of the last axis; None of another sum."""
    whole, (less, beta) = own.back(scaled, "Mul"), own.pair(shift, "Add", "Mul")
    negative, inverse = own.pair(less.output[0], "Mul", "Neg") if less is not None else (None, "")
    if negative is None or whole is None or inverse not in whole.input:
        return None
    (x,) = [name for name in whole.input if name != inverse] or [inverse]
    mean, (root, gamma) = own.back(negative.input[0], "ReduceMean"), own.pair(inverse, "Mul", "Reciprocal")
    squared = own.back(root.input[0], "Sqrt") if root is not None else None
    squares, small = own.pair(squared.input[0], "Add", "ReduceMean") if squared is not None else (None, "")
    square = own.back(squares.input[0], "Mul") if squares is not None else None
    centred = own.back(square.input[0], "Sub") if square is not None and len(set(square.input)) == 1 else None
    if mean is None or mean.input[0] != x or squares is None or centred is None:
        return None
    if list(centred.input) != [x, *mean.output] or not all(_of_the_last(own, each) for each in (mean, squares)):
        return None
    scale, bias, epsilon = (own.named(name) for name in (gamma, beta, small))
    if scale is None or bias is None or epsilon is None or epsilon.size != 1:
        return None
    if any(each.ndim > own.rank(x) for each in (scale, bias, epsilon)):  # the sum has more axes than x
        return None
    if any(not each.ndim or each.size != each.shape[-1] for each in (scale, bias)):  # they differ by other axes too
        return None
    return x, scale, bias, float(epsilon.item())


def _of_the_last(own: Nodes, mean: Any) -> bool:
    """Whether a mean is of the last axis, which stays as one of a single entry."""
    return same(own.value(mean, 1), [-1]) and told(mean, "keepdims", 1) == 1


def _lines(own: Nodes) -> None:
    """A feature of one number a request becomes a column and a line again in turn: the first line is read instead."""
    for node in own.nodes:
        if node.op_type != "Reshape" or own.rank(node.output[0]) != 1:
            continue
        name, first = node.input[0], ""
        while True:
            first = name if own.rank(name) == 1 else first
            maker = own.makers.get(name)
            if maker is None or maker.op_type not in LINE_KEPT:
                break
            name = maker.input[0]
        if first:
            own.instead(node, first)


def _prune(graph: Any) -> None:
    wanted, kept = {output.name for output in graph.output}, list[Any]()
    for node in reversed(graph.node):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    used = [each for each in graph.initializer if each.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(used)
