"""The same numbers from fewer nodes, of features: those that are computed alike are computed together.

A signature reads each feature by itself: translated, ten nodes put one number in order, and five look a word up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from souk.models.onnx_nodes import Nodes, become, same, told

ALIKE = ("Add", "Cast", "Div", "IsNaN", "Log", "Max", "Min", "Mul", "Sub", "Where")  # of each entry by itself
ENTRIES = (*ALIKE, "CategoryMapper", "Equal", "Less", "Not")  # so are these
ALONE, LINE = "alone", "line"


def words(own: Nodes) -> None:
    """A table of words gives their places as they are wanted: counted from some number on, and of none another."""
    for node in own.nodes:
        if node.op_type != "Where" or own.is_output(node.output[0]):
            continue
        missing, added = own.back(node.input[0], "Not", "Equal"), own.back(node.input[1], "Add")
        table = own.back(node.input[1], "Add", "CategoryMapper")
        if missing is None or table is None or own.sole(table) is not added or own.sole(added) is not node:
            continue
        none, empty, first = own.value(missing, 1), own.value(node, 2), own.value(added, 1)
        if none is None or none.ndim or none.item() or missing.input[0] != table.input[0]:
            continue
        if empty is None or first is None or empty.ndim or first.ndim:
            continue
        parts = {each.name: each for each in table.attribute}
        known = zip(parts["cats_strings"].strings, parts["cats_int64s"].ints, strict=True)
        places = {b"": int(empty), **{word: place + int(first) for word, place in known if word}}
        parts["cats_strings"].strings[:], parts["cats_int64s"].ints[:] = list(places), list(places.values())
        parts["default_int64"].i += int(first)
        own.instead(node, table.output[0])


def columns(own: Nodes) -> None:
    """One number a request becomes a column by the shape of another such column."""
    for node in own.nodes:
        if node.op_type != "Reshape" or own.rank(node.input[0]) != 1:
            continue
        column = own.back(own.shaped(node.input[1]), "Unsqueeze")
        if column is not None and own.rank(column.input[0]) == 1 and same(own.value(column, 1), [1]):
            become(node, "Unsqueeze", node.input[0], own.constant(np.array([1])))


def lookups(own: Nodes) -> None:
    """The row of a whole number below some other, and another row for one that is not: of a table that has that row at
    both ends."""
    for node in own.nodes:
        within = own.back(node.input[0], "And") if node.op_type == "Where" else None
        moved = own.back(node.input[1], "Add") if within is not None else None
        if within is None or moved is None:
            continue
        least, most = (own.makers.get(name) for name in within.input)
        if least is None or most is None or (least.op_type, most.op_type) != ("GreaterOrEqual", "Less"):
            continue
        reader, places = own.sole(node), moved.input[0]
        while reader is not None and reader.op_type == "Unsqueeze":
            reader = own.sole(reader)
        table = own.value(reader, 0) if reader is not None and reader.op_type == "Gather" else None
        numbers = [own.value(node, 2), own.value(moved, 1), own.value(most, 1)]
        if (
            reader is None
            or table is None
            or told(reader, "axis", 0)
            or any(each is None or each.ndim for each in numbers)
        ):
            continue
        if least.input[0] != places or own.uncast(most.input[0]) != places or not same(own.value(least, 1), 0):
            continue
        other, first, count = (int(each) for each in numbers if each is not None)
        whole = own.kinds.get(places) == np.int64 and count == numbers[2]
        if whole and 0 <= other < len(table) and first >= 0 and first + count <= len(table):
            reader.input[0] = own.constant(np.concatenate([table[first : first + count], table[[other, other]]]))
            become(node, "Clip", places, own.constant(np.array(-1)), own.constant(np.array(count)))


def rows(own: Nodes) -> None:
    """Another row for the places that a table of flags tells: of a table that has it there."""
    for node in own.nodes:
        chosen = own.back(node.input[1], "Where") if node.op_type == "Gather" else None
        flagged = own.back(chosen.input[0], "Greater") if chosen is not None else None
        flags = own.back(flagged.input[0], "Gather") if flagged is not None else None
        if (
            chosen is None
            or flagged is None
            or flags is None
            or told(node, "axis", 0)
            or told(flags, "axis", 0)
            or flags.input[1] != chosen.input[1]
        ):
            continue
        table, marks = own.value(node, 0), own.value(flags, 0)
        least, other = own.value(flagged, 1), own.value(chosen, 2)
        if table is None or marks is None or marks.shape != table.shape[:1]:
            continue
        if least is None or other is None or least.ndim or other.ndim or not 0 <= other < len(table):
            continue
        chosen_rows = table[np.where(marks > least, np.arange(len(table)), other)]
        node.input[:] = [own.constant(chosen_rows), chosen.input[1]]


def tokens(own: Nodes) -> None:
    """TensorFlow Transform makes a line of the tokens of all requests, and their old shape of what it computes.

    What it does to each entry has no need of either, where all lines come from one shape and go back to it. Inputs are
    of as many requests as one another.
    """
    cuts = [node for node in own.nodes if node.op_type == "Slice" and own.rank(node.input[0]) == 2]
    groups = defaultdict(list)
    for node in own.nodes:
        cut = own.back(node.input[0], "Slice") if node.op_type == "Reshape" else None
        if cut is not None and same(own.value(node, 1), [-1]) and own.rank(cut.input[0]) == 2:
            groups[_cut(own, cut)].append(node)
    for key, flats in groups.items():
        alike = {cut.output[0] for cut in cuts if _cut(own, cut) == key}
        ends = _ends(own, flats, alike) if key[0] else None
        for node in (*flats, *ends) if ends else ():
            own.instead(node, node.input[0])


def _cut(own: Nodes, node: Any) -> tuple[Any, ...]:
    """What a slice leaves of rows: how long these are, and what it is told."""
    return own.shapes[node.input[0]][1], *map(own.what, node.input[1:])


def _ends(own: Nodes, flats: Sequence[Any], shapes: set[str]) -> list[Any] | None:
    """The nodes that give lines the shape of one of some values; None where anything else looks at their shape."""
    wide = {flat.output[0]: False for flat in flats}  # each value, and whether it has an axis more
    left, ends, between = list(wide), dict[int, Any](), list[Any]()
    while left:
        name = left.pop()
        if own.is_output(name):
            return None
        for node in own.readers.get(name, []):
            if node.op_type == "Reshape" and not wide[name] and own.shaped(node.input[1]) in shapes:
                ends[id(node)] = node
                continue
            more = _wider(own, node, wide[name])
            if more is None:
                return None
            if node.output[0] not in wide:
                wide[node.output[0]] = more
                left.append(node.output[0])
            if node.op_type in ENTRIES:
                between.append(node)
    return list(ends.values()) if all(_among(own, node, wide) for node in between) else None


def _wider(own: Nodes, node: Any, wide: bool) -> bool | None:
    """Whether a node makes an axis more of what has one, or none; None where it does something else to the shape."""
    last = same(own.value(node, 1), [-1])
    if node.op_type == "Unsqueeze" and last and not wide:
        return True
    if node.op_type == "ReduceSum" and last and wide and not told(node, "keepdims", 1):
        return False
    return wide if node.op_type in ENTRIES else None


def _among(own: Nodes, node: Any, wide: dict[str, bool]) -> bool:
    """Whether all that a node reads has as many axes as what it makes, or is a constant of at most those added."""
    axes = wide[node.output[0]]
    values = {name: own.named(name) for name in node.input}
    return all(wide.get(n) == axes if value is None else value.ndim <= axes for n, value in values.items())


def together(own: Nodes) -> None:
    """Columns that the same is done to, but for numbers, are columns of one value before it is done, and not after."""
    made: dict[tuple[str, ...], str] = {}
    for node in own.nodes:
        axes = own.rank(node.output[0])
        if node.op_type != "Concat" or axes not in (2, 3) or told(node, "axis", 0) not in (-1, axes - 1):
            continue
        groups = defaultdict(list)
        for place, name in enumerate(node.input):
            if line := _line(own, name, axes):
                groups[_kind(own, line)].append((_source(own, line), line, place))
        alike = [sorted(each) for kind, each in groups.items() if len(each) > 1 and kind[0] in ALIKE]
        rest = sorted(set(range(len(node.input))).difference(place for each in alike for *_, place in each))
        widths = [own.shapes.get(node.input[place], [None])[-1] for place in rest]
        if not alike or not all(widths):
            continue
        blocks = [_stacked(own, node, tuple(line for _, line, _ in each), made) for each in alike]
        if axes == 3:
            across = own.constant(np.array([1]))
            blocks = [own.before(node, "Unsqueeze", [block, across]) for block in blocks]
        mixed = own.before(node, "Concat", [*blocks, *(node.input[place] for place in rest)], axis=axes - 1)
        order = [place for each in alike for *_, place in each] + rest
        sizes = [1] * (len(order) - len(rest)) + [int(width or 0) for width in widths]
        parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        wanted = np.concatenate([parts[order.index(place)] for place in range(len(order))])
        become(node, "Gather", mixed, own.constant(wanted), axis=axes - 1)


def _line(own: Nodes, name: str, axes: int) -> str:
    """The line that a column of so many axes is made of; "" of anything else."""
    for axis in range(axes - 1, 0, -1):
        node = own.back(name, "Unsqueeze")
        if node is None or not same(own.value(node, 1), [axis]):
            return ""
        name = node.input[0]
    return name if own.rank(name) == 1 else ""


def _kind(own: Nodes, name: str) -> tuple[Any, ...]:
    """What is done to a line, but for numbers: what is of one kind can be done together."""
    node, value = own.makers.get(name), own.named(name)
    if value is not None:
        return ("number", value.dtype.str) if not value.ndim else (ALONE, name)
    if own.rank(name) != 1:
        return ALONE, name
    if node is None or node.op_type not in ALIKE:
        return (LINE, own.kinds[name]) if name in own.kinds else (ALONE, name)
    given = tuple(_kind(own, each) for each in node.input)
    if any(kind[0] == ALONE for kind in given):
        return ALONE, name
    return node.op_type, tuple(each.SerializeToString() for each in node.attribute), given


def _source(own: Nodes, name: str) -> str:
    """The first line that a line is made of."""
    node = own.makers.get(name)
    inputs: Iterable[str] = node.input if node is not None and node.op_type in ALIKE else ()
    return next((_source(own, each) for each in inputs if own.named(each) is None), name)


def _stacked(own: Nodes, node: Any, lines: tuple[str, ...], made: dict[tuple[str, ...], str]) -> str:
    """The value whose columns are these lines, of one kind; what makes it stands before a node."""
    if lines not in made:
        values, makers = [own.named(name) for name in lines], [own.makers.get(name) for name in lines]
        if values[0] is not None:
            made[lines] = own.constant(np.array(values))
        elif makers[0] is not None and makers[0].op_type in ALIKE:
            given = [_stacked(own, node, each, made) for each in zip(*(m.input for m in makers if m), strict=True)]
            made[lines] = own.before(node, makers[0].op_type, given, makers[0].attribute)
        else:
            along = own.constant(np.array([1]))
            parts = [own.before(node, "Unsqueeze", [name, along]) for name in lines]
            made[lines] = own.before(node, "Concat", parts, axis=1)
    return made[lines]
