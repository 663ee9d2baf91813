"""The same numbers from fewer nodes: what the translation spells out of our layers, said in one operation.

A node takes a microsecond however little it computes, and several where a request finds the processor's caches cold.
`souk.models.onnx_graph` compares what comes of it with the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper, shape_inference

WHOLE = 10**9  # a slice that ends here or later ends with its axis
LINE_KEPT = ("Reshape", "Unsqueeze", "Squeeze")  # the order of what it holds stays


def simplified(model: Any) -> None:
    """Rewrites the graph of a model in place, and leaves out what nothing looks at any more."""
    for rewrite in (_identities, _one_product, _forward_slices, _whole_slices, _negative_places, _buckets, _norms):
        rewrite(_Graph(model.graph))
    model.CopyFrom(shape_inference.infer_shapes(model))
    _lines(_Graph(model.graph))
    _prune(model.graph)
    del model.graph.value_info[:]


class _Graph:
    """Who makes and who reads each value.

    Args:
        graph: of ONNX.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self.makers = {output: node for node in graph.node for output in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self._given = {each.name: each for each in graph.initializer}
        self._outputs = {each.name for each in graph.output}
        known = (each for each in (*graph.input, *graph.value_info) if each.type.tensor_type.HasField("shape"))
        self.ranks = {each.name: len(each.type.tensor_type.shape.dim) for each in known}

    def back(self, name: str, *kinds: str) -> Any | None:
        """The node of the last of these kinds, each the maker of what the one before reads first; None where one is
        none of its kind."""
        node = None
        for kind in kinds:
            node = self.makers.get(name)
            if node is None or node.op_type != kind:
                return None
            name = node.input[0]
        return node

    def pair(self, name: str, sum_or_product: str, kind: str) -> tuple[Any, str] | tuple[None, str]:
        """Of the two that a sum or product is of, the maker of this kind, and the name of the other."""
        node = self.back(name, sum_or_product)
        for one, other in (node.input, node.input[::-1]) if node is not None else ():
            if (maker := self.back(one, kind)) is not None:
                return maker, other
        return None, ""

    def uncast(self, name: str) -> str:
        """The value before it was made one of other types."""
        while (cast := self.back(name, "Cast")) is not None:
            name = cast.input[0]
        return name

    def value(self, name: str) -> np.ndarray | None:
        """A constant, of whatever type it is made."""
        name = self.uncast(name)
        if name in self._given:
            return numpy_helper.to_array(self._given[name])
        node = self.back(name, "Constant")
        return None if node is None else numpy_helper.to_array(node.attribute[0].t)

    def constant(self, value: np.ndarray) -> str:
        """The name of a new constant."""
        name = f"souk_pass_{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def instead(self, node: Any, name: str) -> None:
        """Whoever reads the one output of a node reads `name`; an output of the graph stays what it is."""
        if node.output[0] in self._outputs:
            return
        for reader in self.readers.pop(node.output[0], []):
            reader.input[:] = [name if each == node.output[0] else each for each in reader.input]
            self.readers.setdefault(name, []).append(reader)


def _identities(own: _Graph) -> None:
    for node in own.nodes:
        if node.op_type == "Identity":
            own.instead(node, node.input[0])


def _one_product(own: _Graph) -> None:
    """One product of each dense layer over more than two axes, for which Keras has a `tensordot`.

    That is a matrix product between two changes of shape, with some twenty nodes to compute the shapes.
    """
    for node in own.nodes:
        if not (node.op_type == "MatMul" and node.name.endswith("Tensordot/MatMul")):
            continue
        flat, (shaped, *others) = own.back(node.input[0], "Reshape"), own.readers[node.output[0]]
        if flat is None or shaped.op_type != "Reshape" or others:
            continue
        turned = own.back(flat.input[0], "Transpose")  # by the identity: the layer multiplies the last axis
        node.input[0] = turned.input[0] if turned is not None else flat.input[0]
        node.output[0], shaped.output[0] = shaped.output[0], node.output[0]


def _forward_slices(own: _Graph) -> None:
    """Where a slice ends if it steps back, which none does whose steps are constants above 0."""
    for node in own.nodes:
        both = own.back(node.input[0], "And") if node.op_type == "Where" else None
        for less in (own.back(name, "Less") for name in both.input) if both is not None else ():
            steps, zero = (own.value(name) for name in less.input) if less is not None else (None, None)
            if steps is not None and zero is not None and (steps >= zero).all():
                own.instead(node, node.input[2])


def _whole_slices(own: _Graph) -> None:
    """A new axis is an `Unsqueeze`, and a slice of all that there is."""
    for node in own.nodes:
        if node.op_type != "Slice":
            continue
        starts, ends = (own.value(name) for name in node.input[1:3])
        steps = own.value(node.input[4]) if len(node.input) > 4 else np.ones(1)
        if starts is None or ends is None or steps is None:
            continue
        if not starts.any() and (ends >= WHOLE).all() and (steps == 1).all():
            own.instead(node, node.input[0])


def _negative_places(own: _Graph) -> None:
    """Keras' embeddings count negative places from the end, as `Gather` does by itself."""
    for node in own.nodes:
        chosen = own.back(node.input[1], "Where") if node.op_type == "Gather" else None
        if chosen is None:
            continue
        asked, moved, places = chosen.input
        below, added = own.back(asked, "Less"), own.back(moved, "Add")
        table = own.value(node.input[0])
        if below is None or added is None or table is None or own.value(below.input[1]) != 0:
            continue
        rows = [own.value(name) for name in added.input if name != places]
        if own.uncast(below.input[0]) == places and rows == [len(table)] and not any(axis.i for axis in node.attribute):
            node.input[1] = places


def _buckets(own: _Graph) -> None:
    """TensorFlow Transform makes a line of what it puts into buckets, and the old shape of the line of buckets."""
    for node in own.nodes:
        below = own.back(node.input[0], "Cast", "Not", "Less") if node.op_type == "ReduceSum" else None
        back, *others = own.readers.get(node.output[0], [None])
        if below is None or back is None or back.op_type != "Reshape" or others:
            continue
        wide, bounds = (own.back(name, "Unsqueeze") for name in below.input)
        flat, shape = own.back(below.input[0], "Unsqueeze", "Reshape"), own.back(own.uncast(back.input[1]), "Shape")
        ordered = own.value(bounds.input[0]) if bounds is not None else None
        if wide is None or flat is None or ordered is None or shape is None or shape.input[0] != flat.input[0]:
            continue
        if ordered.ndim != 2 or len(ordered) != 1:  # a line of bounds for each line of values
            continue
        last = own.constant(np.array([-1], np.int64))
        wide.input[:] = [flat.input[0], last]
        below.input[1] = own.constant(ordered.reshape(-1))
        node.input[1] = last
        node.output[0], back.output[0] = back.output[0], node.output[0]


def _norms(own: _Graph) -> None:
    """Keras' layer normalisation, x · γ/σ + (β - μ · γ/σ), is one operation."""
    for node in own.nodes:
        for scaled, shift in (node.input, node.input[::-1]) if node.op_type == "Add" else ():
            if found := _norm(own, scaled, shift):
                x, scale, bias, epsilon = found
                given = [x, *(own.constant(values.reshape(-1)) for values in (scale, bias))]
                told: dict[str, Any] = {"axis": -1, "epsilon": epsilon}
                node.CopyFrom(helper.make_node("LayerNormalization", given, list(node.output), node.name, **told))
                break


def _norm(own: _Graph, scaled: str, shift: str) -> tuple[str, np.ndarray, np.ndarray, float] | None:
    """The input, γ, β and ε of a normalisation of the last axis; None of another sum."""
    whole, (less, beta) = own.back(scaled, "Mul"), own.pair(shift, "Add", "Mul")
    negative, inverse = own.pair(less.output[0], "Mul", "Neg") if less is not None else (None, "")
    if negative is None or whole is None or inverse not in whole.input:
        return None
    (x,) = [name for name in whole.input if name != inverse] or [inverse]
    mean, (root, gamma) = own.back(negative.input[0], "ReduceMean"), own.pair(inverse, "Mul", "Reciprocal")
    mean = mean if mean is not None and mean.input[0] == x else None
    squared = own.back(root.input[0], "Sqrt") if root is not None else None
    squares, small = own.pair(squared.input[0], "Add", "ReduceMean") if squared is not None else (None, "")
    square = own.back(squares.input[0], "Mul") if squares is not None else None
    centred = own.back(square.input[0], "Sub") if square is not None and len(set(square.input)) == 1 else None
    if mean is None or squares is None or centred is None or list(centred.input) != [x, *mean.output]:
        return None
    scale, bias, epsilon, *axes = (own.value(name) for name in (gamma, beta, small, mean.input[1], squares.input[1]))
    if scale is None or bias is None or epsilon is None or any(axis is None or (axis != -1).any() for axis in axes):
        return None
    return x, scale, bias, float(epsilon.item())


def _lines(own: _Graph) -> None:
    """A feature of one number a request becomes a column and a line again in turn: the first line is read instead."""
    for node in own.nodes:
        if node.op_type != "Reshape" or own.ranks.get(node.output[0]) != 1:
            continue
        name, first = node.input[0], ""
        while True:
            first = name if own.ranks.get(name) == 1 else first
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
