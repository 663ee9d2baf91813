"""The same numbers from fewer nodes, of shapes: what is computed of sizes alone, and what need not be."""

from __future__ import annotations

from typing import Any

import numpy as np

from souk.models.onnx_nodes import SMALL, Nodes, become, order, same, told

WHOLE = 10**9  # a slice that ends here or later ends with its axis
SHAPES = ("Reshape", "Squeeze", "Unsqueeze")  # the order of what it holds stays


def once(own: Nodes) -> None:
    """What is computed twice is computed once, and a constant of another shape is a constant."""
    seen: dict[tuple[Any, ...], str] = {}
    for node in own.nodes:
        value, axes = own.value(node, 0), own.value(node, 1)
        if node.op_type in ("Unsqueeze", "Reshape") and value is not None and axes is not None and value.size <= SMALL:
            if node.op_type == "Unsqueeze":
                own.instead(node, own.constant(np.expand_dims(value, tuple(axes.tolist()))))
            elif axes.all():
                own.instead(node, own.constant(value.reshape(axes)))
        elif len(node.output) == 1 and node.op_type != "Constant":
            given = tuple(map(own.what, node.input))
            kind = node.op_type, node.domain, given, tuple(sorted(each.SerializeToString() for each in node.attribute))
            if (first := seen.setdefault(kind, node.output[0])) != node.output[0]:
                own.instead(node, first)


def ends(own: Nodes) -> None:
    """A slice up to some place of some axes says nothing of the others: its ends need not be put together for that."""
    made: dict[tuple[Any, ...], str] = {}
    for node in own.nodes:
        limits = own.back(node.input[2], "Cast", "Max") if node.op_type == "Slice" and len(node.input) == 5 else None
        parts = own.back(limits.input[0], "Cast", "Concat") if limits is not None else None
        bounds = own.value(limits, 1) if limits is not None else None
        starts, axes, steps = (own.value(node, place) for place in (1, 3, 4))
        if (
            parts is None
            or bounds is None
            or starts is None
            or axes is None
            or steps is None
            or (np.abs(bounds) < WHOLE).any()
        ):
            continue
        if not len(bounds) == len(parts.input) == len(axes) or starts.any() or (steps != 1).any():
            continue
        if not all(_is_one(own, name) for name in parts.input):
            continue
        limited = np.flatnonzero(bounds < 0).tolist()
        if not limited:
            continue
        names = [parts.input[place] for place in limited]
        key = (*names, kind := told(own.makers[node.input[2]], "to", 0))
        if key not in made:
            one = names[0] if len(names) == 1 else own.before(node, "Concat", names, axis=0)
            made[key] = own.before(node, "Cast", [one], to=kind)
        rest = [own.constant(each[limited]) for each in (starts, axes, steps)]
        node.input[1:] = [rest[0], made[key], *rest[1:]]


def _is_one(own: Nodes, name: str) -> bool:
    """Whether a value is a line of one entry."""
    value = own.named(name)
    return bool(own.shapes.get(name) == [1] if value is None else value.shape == (1,))


def picked(own: Nodes) -> None:
    """One column of several is a `Gather`, and the only one no slice; an entry that is a line again is a slice."""
    for node in own.nodes:
        cut = own.back(node.input[0], "Slice") if node.op_type == "Squeeze" else None
        starts, stops, axes, steps = (own.value(cut, place) if cut is not None else None for place in (1, 2, 3, 4))
        if node.op_type == "Unsqueeze" and same(own.value(node, 1), [0]):
            entry = own.back(node.input[0], "Squeeze")
            if entry is not None and same(own.value(entry, 1), [0]) and own.rank(entry.input[0]) == 1:
                own.instead(node, entry.input[0])
        if cut is None or starts is None or stops is None or axes is None or own.rank(cut.input[0]) < 2:
            continue
        if len(cut.input) > 4 and (steps is None or (steps != 1).any()):
            continue
        if axes.tolist() != [0, 1] or starts[0] or stops[0] < WHOLE:
            continue
        if same(own.value(node, 1), [1]) and starts[1] >= 0:
            if own.shapes[cut.input[0]][1] == 1:
                node.input[0] = cut.input[0]
            else:
                become(node, "Gather", cut.input[0], own.constant(np.array(int(starts[1]))), axis=1)


def less(own: Nodes) -> None:
    """A product less numbers is a product and others, which is one operation for ONNX Runtime."""
    for node in own.nodes:
        product = own.back(node.input[0], "MatMul") if node.op_type == "Sub" else None
        numbers = own.value(node, 1)
        if product is not None and numbers is not None and numbers.ndim == 1 and own.rank(product.input[0]) == 2:
            become(node, "Add", node.input[0], own.constant(-numbers))


def kept(own: Nodes) -> None:
    """Axes that a new shape has from the old one need not be told, nor one whose size follows from the others; a shape
    that is there already need not be made again."""
    sizes = Sizes(own)
    for node in own.nodes:
        if node.op_type == "Tile" and (counts := own.value(node, 1)) is not None and (counts == 1).all():
            own.instead(node, node.input[0])
        if node.op_type != "Reshape" or told(node, "allowzero", 0):
            continue
        before, wanted = sizes.of(node.input[0]), sizes.told(node.input[1])
        if not before or not wanted:
            continue
        name = node.input[0]
        while (maker := own.makers.get(name)) is not None and maker.op_type in SHAPES and sizes.of(name) != wanted:
            name = maker.input[0]
        if sizes.of(name) == wanted:
            own.instead(node, name)
            continue
        same_as = [0 if at < len(before) and before[at] == size else size for at, size in enumerate(wanted)]
        shape = [size if isinstance(size, int) else -1 for size in same_as]
        if shape.count(-1) < 2 and own.value(node, 1) is None:
            node.input[1] = own.constant(np.array(shape, np.int64))


class Sizes:
    """The sizes of values by axis: numbers, or whose of which axis they are."""

    def __init__(self, own: Nodes) -> None:
        self._own, self._found = own, dict[str, list[Any]]()
        for node in own.nodes:  # in their order: those of what a node reads are found before its own
            for name in node.output:
                self.of(name)

    def of(self, name: str) -> list[Any]:
        """Of a value; none where they cannot be told."""
        if name not in self._found:
            node = self._own.makers.get(name)
            known = self._made(node) if node is not None else []
            value = self._own.named(name)
            self._found[name] = (
                known
                or (list(value.shape) if value is not None else [])
                or [size or (name, axis) for axis, size in enumerate(self._own.shapes.get(name, []))]
            )
        return self._found[name]

    def told(self, shape: str) -> list[Any]:
        """What a shape says; none where it cannot be told."""
        whole = self._own.back(self._own.uncast(shape), "Concat")
        found = [self._entry(name) for name in whole.input] if whole is not None else []
        return [] if None in found else found

    def _entry(self, name: str) -> Any:
        """The one entry of a part of a shape, which is no 0 that stands for another; None of anything else."""
        own = self._own
        if (value := own.named(name)) is not None:
            return int(value.item()) if value.size == 1 and value.item() > 0 else None
        cut = own.back(own.uncast(name), "Slice")
        first, last = (own.value(cut, place) if cut is not None else None for place in (1, 2))
        shape = own.back(own.uncast(cut.input[0]), "Shape") if cut is not None else None
        if shape is None or shape.attribute or first is None or last is None or first.size != 1 or first < 0:
            return None
        sizes = self.of(shape.input[0])[int(first.item()) : int(last.item())]
        return sizes[0] if len(sizes) == 1 else None

    def _made(self, node: Any) -> list[Any]:
        """Of what a node makes, where its kind tells."""
        own, given = self._own, [self.of(name) for name in node.input]
        first: list[Any] = given[0] if given else []
        if node.op_type in ("LayerNormalization", "Sigmoid", "Softmax"):
            return first
        if node.op_type in ("Add", "Mul"):
            one, other = node.input
            return self._wider(given[0], other) or self._wider(given[1], one)
        if node.op_type == "MatMul" and first:
            matrix = own.value(node, 1)
            last = list(matrix.shape) if matrix is not None and matrix.ndim == 2 else given[1]
            return [*first[:-1], last[-1]] if last[:-2] in ([], first[:-2]) and len(last) > 1 else []
        if node.op_type == "Transpose" and order(node):
            return [first[axis] for axis in order(node)] if first else []
        if node.op_type == "Reshape":
            return self.told(node.input[1])
        return self._parts(node, first) if first else []

    def _wider(self, mine: list[Any], name: str) -> list[Any]:
        """The sizes of a value, if those of what is added to it are the same, or are 1, or have to be one of these."""
        value = self._own.named(name)
        other = list(value.shape) if value is not None else self.of(name)
        known = other or value is not None
        pairs = zip(reversed(mine), reversed(other), strict=False)
        fit = all(size in (1, wide) or (isinstance(wide, int) and wide > 1) for wide, size in pairs)
        return mine if known and fit and len(other) <= len(mine) else []

    def _cut(self, node: Any, first: list[Any]) -> list[Any]:
        """Of the beginning of a value, whose sizes are numbers, up to places that are told."""
        own = self._own
        starts, axes, steps = (own.value(node, place) for place in (1, 3, 4))
        stepped = len(node.input) > 4 and (steps is None or (steps != 1).any())
        if starts is None or axes is None or starts.any() or stepped or (axes < 0).any():
            return []
        ends = self.told(node.input[2]) or [self._entry(node.input[2])]
        if (
            len(ends) != len(axes)
            or None in ends
            or any(first[axis] == 1 or not isinstance(first[axis], int) for axis in axes)
        ):
            return []
        cut = [min(end, first[axis]) if isinstance(end, int) else end for axis, end in zip(axes, ends, strict=True)]
        by_axis = dict(zip(axes.tolist(), cut, strict=True))
        return [by_axis.get(axis, size) for axis, size in enumerate(first)]

    def _parts(self, node: Any, first: list[Any]) -> list[Any]:
        """Of what a node makes of one value of such sizes, with fewer of some axis, or with an axis more or less."""
        if node.op_type == "Slice":
            return self._cut(node, first)
        parts, axes = told(node, "num_outputs", 0), self._own.value(node, 1)
        if node.op_type == "Split" and parts and len(node.input) == 1:
            whole = first[axis := told(node, "axis", 0)]
            return [*first[:axis], whole // parts, *first[axis + 1 :]] if axis >= 0 and isinstance(whole, int) else []
        if node.op_type == "Squeeze" and axes is not None and (axes >= 0).all():
            return [size for axis, size in enumerate(first) if axis not in axes]
        if node.op_type == "Unsqueeze" and axes is not None and axes.size == 1 and axes >= 0:
            return [*first[: int(axes.item())], 1, *first[int(axes.item()) :]]
        return []
