"""A graph of ONNX, to be looked through and rewritten."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper


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

    def sole(self, node: Any) -> Any | None:
        """The only one that reads what a node makes; None where there are more, or it is an output of the graph."""
        readers = self.readers.get(node.output[0], [])
        return readers[0] if len(readers) == 1 and node.output[0] not in self._outputs else None

    def constant(self, value: np.ndarray) -> str:
        """The name of a new constant."""
        name = f"souk_pass_{len(self.graph.initializer)}"
        self._given[name] = numpy_helper.from_array(value, name)
        self.graph.initializer.append(self._given[name])
        return name

    def instead(self, node: Any, name: str) -> None:
        """Whoever reads the one output of a node reads `name`; an output of the graph stays what it is."""
        if node.output[0] in self._outputs:
            return
        for reader in self.readers.pop(node.output[0], []):
            reader.input[:] = [name if each == node.output[0] else each for each in reader.input]
            self.readers.setdefault(name, []).append(reader)


def same(value: np.ndarray | None, wanted: int | list[int]) -> bool:
    """Whether a constant is this number or this line of numbers, and no other shape of it."""
    return value is not None and value.shape == np.shape(wanted) and bool((value == wanted).all())


def told(node: Any, name: str, default: int) -> int:
    """A whole number that a node is told by name."""
    return next((each.i for each in node.attribute if each.name == name), default)


def order(node: Any) -> list[int]:
    """The order that a node puts axes in."""
    return next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
