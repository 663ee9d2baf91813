"""A graph of ONNX, to be looked through and rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

SMALL = 64  # numbers of a constant that may be the same as another


class Nodes:
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
        self.shapes = {each.name: [dim.dim_value or None for dim in each.type.tensor_type.shape.dim] for each in known}
        typed = (each for each in (*graph.input, *graph.value_info) if each.type.tensor_type.elem_type)
        self.kinds = {each.name: helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type) for each in typed}

    def rank(self, name: str) -> int:
        """How many axes a value has; -1 where it cannot be told."""
        return len(self.shapes[name]) if name in self.shapes else -1

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

    def shaped(self, name: str) -> str:
        """The value that a shape is of; "" where it is of none."""
        name = self.uncast(name)
        if (whole := self.back(name, "Concat")) is not None and len(whole.input) == 1:
            name = self.uncast(whole.input[0])
        shape = self.back(name, "Shape")
        return str(shape.input[0]) if shape is not None and not shape.attribute else ""

    def named(self, name: str) -> np.ndarray | None:
        """The constant of a name; None of what is computed, and of no name."""
        if name in self._given:
            return numpy_helper.to_array(self._given[name])
        node = self.makers.get(name)
        if node is None or node.op_type != "Constant" or node.attribute[0].name != "value":
            return None
        return numpy_helper.to_array(node.attribute[0].t)

    def value(self, node: Any, place: int) -> np.ndarray | None:
        """What a node reads at a place, where that is a constant."""
        return self.named(node.input[place] if place < len(node.input) else "")

    def what(self, name: str) -> Any:
        """A value by its name, but a small constant by what it is."""
        value = self.named(name)
        small = value is not None and value.size <= SMALL and value.dtype.kind != "O"  # of which bytes are addresses
        return (value.dtype.str, value.shape, value.tobytes()) if value is not None and small else name

    def is_output(self, name: str) -> bool:
        """Whether the graph gives this value."""
        return name in self._outputs

    def sole(self, node: Any) -> Any | None:
        """The only one that reads what a node makes; None where there are more, or it is an output of the graph."""
        readers = self.readers.get(node.output[0], [])
        return readers[0] if len(readers) == 1 and node.output[0] not in self._outputs else None

    def constant(self, value: np.ndarray) -> str:
        """The name of a new constant."""
        name = self._new("constant", self._given)
        self._given[name] = numpy_helper.from_array(value, name)
        self.graph.initializer.append(self._given[name])
        return name

    def before(self, place: Any, kind: str, inputs: Sequence[str], attributes: Iterable[Any] = (), **told: Any) -> str:
        """What a new node of one output gives, which stands before another."""
        name = self._new("node", self.makers)
        node = helper.make_node(kind, inputs, [name], name, **told)
        node.attribute.extend(attributes)
        self.graph.node.insert(next(at for at, each in enumerate(self.graph.node) if each is place), node)
        self.makers[name] = node
        for each in inputs:
            self.readers.setdefault(each, []).append(node)
        return name

    def _new(self, kind: str, taken: Mapping[str, Any]) -> str:
        """A name that is not taken, the same in each run."""
        return next(name for name in (f"souk_{kind}_{number}" for number in count()) if name not in taken)

    def instead(self, node: Any, name: str) -> None:
        """Whoever reads the one output of a node reads `name`; an output of the graph stays what it is."""
        if node.output[0] in self._outputs:
            return
        for reader in self.readers.pop(node.output[0], []):
            reader.input[:] = [name if each == node.output[0] else each for each in reader.input]
            self.readers.setdefault(name, []).append(reader)


def become(node: Any, kind: str, *inputs: str, **told: Any) -> None:
    """Makes a node another one, with the same output."""
    node.CopyFrom(helper.make_node(kind, inputs, list(node.output), node.name, **told))


def same(value: np.ndarray | None, wanted: int | list[int]) -> bool:
    """Whether a constant is this number or this line of numbers, and no other shape of it."""
    return value is not None and value.shape == np.shape(wanted) and bool((value == wanted).all())


def told(node: Any, name: str, default: int) -> int:
    """A whole number that a node is told by name."""
    return next((each.i for each in node.attribute if each.name == name), default)


def order(node: Any) -> list[int]:
    """The order that a node puts axes in."""
    return next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
