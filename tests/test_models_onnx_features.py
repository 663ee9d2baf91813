"""Features that are computed alike are computed together, and what only looks like them gives what it gave."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.onnx_graphs import FLOAT, WHOLE, graph, kinds_of, same

WORD, ONE, LAST = TensorProto.STRING, np.array([1]), np.array([-1])
NAN = float("nan")


def counted(model, kind):
    return sum(node.op_type == kind for node in model.graph.node)


def looked_up(none="", first=2, empty=0, asked="w", vocabulary=("a", "b"), also=()):
    table = {"cats_strings": list(vocabulary), "cats_int64s": [*range(len(vocabulary))], "default_int64": -1}
    nodes = [
        ("CategoryMapper", "w", "found", table | {"domain": "ai.onnx.ml"}),
        ("Add", "found first", "counted", {}),
        ("Equal", f"{asked} none", "missing", {}),
        ("Not", "missing", "there", {}),
        ("Where", "there counted empty", "place", {}),
        *(also or [("Neg", "place", "y", {})]),
    ]
    model = graph(
        nodes,
        "y",
        WHOLE,
        [("w", WORD, [None]), ("v", WORD, [None])],
        none=np.array(none, object),
        first=np.array(first),
        empty=np.array(empty),
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 2))
    return model


WORDS = {"w": np.array(["a", "", "b", "c"], object), "v": np.array(["", "x", "a", ""], object)}


@pytest.mark.parametrize("vocabulary", [("a", "b"), ("", "a")], ids=["words", "with none among them"])
def test_a_word_is_looked_up_by_one_node(vocabulary):
    assert kinds_of(same(looked_up(vocabulary=vocabulary), WORDS)) == {"CategoryMapper", "Neg"}


@pytest.mark.parametrize("more", [{"none": "a"}, {"asked": "v"}, {"first": [2]}, {"empty": [0]}], ids=str)
def test_another_look_up_of_words_stays(more):
    assert counted(same(looked_up(**more), WORDS), "Where") == 1


def test_a_look_up_that_is_an_output_stays():
    model = looked_up()
    model.graph.output.append(helper.make_tensor_value_info("place", WHOLE, None))
    assert counted(same(model, WORDS), "Where") == 1


def test_a_table_of_words_that_others_read_stays():
    model = looked_up(also=[("Neg", "counted", "less", {}), ("Add", "place less", "y", {})])
    assert counted(same(model, WORDS), "Where") == 1


def numbered(count=3.0, first=2, other=1, least=0, rows=6, kind=WHOLE, moved="i", low="i", axis=0):
    nodes = [
        ("GreaterOrEqual", f"{low} least", "low", {}),
        ("Cast", "i", "real", {"to": FLOAT}),
        ("Less", "real count", "high", {}),
        ("And", "low high", "within", {}),
        ("Add", f"{moved} first", "place", {}),
        ("Where", "within place other", "chosen", {}),
        ("Gather", "table chosen", "y", {"axis": axis}),
    ]
    whole = {WHOLE: np.int64, TensorProto.INT32: np.int32}[kind]
    numbers = {"least": least, "first": first, "other": other}
    given = {name: np.array(value, whole) for name, value in numbers.items()}
    table = np.arange(rows * rows, dtype=np.float32).reshape(rows, rows)
    return graph(
        nodes, "y", inputs=[("i", kind, [None]), ("j", kind, [None])], table=table, count=np.float32(count), **given
    )


PLACES = {"i": np.array([0, 2, 3, -1, 99, -(2**31), 1]), "j": np.array([0, 1, 2, 0, 1, 2, 3])}


@given(st.lists(st.integers(-(2**40), 2**40) | st.integers(-2, 6), min_size=1, max_size=5))
def test_a_number_is_looked_up_by_its_row(places):
    model = numbered()
    values = {"i": np.array(places), "j": np.array(places)}
    assert kinds_of(same(model, values)) == {"Clip", "Gather"}


@pytest.mark.parametrize(
    "more",
    [{"count": 2.5}, {"least": 1}, {"moved": "j"}, {"low": "j"}, {"axis": 1}, {"kind": TensorProto.INT32}],
    ids=str,
)
def test_another_look_up_of_numbers_stays(more):
    values = {name: each.astype(np.int32) if "kind" in more else each for name, each in PLACES.items()}
    if "low" in more:
        values = {"i": np.array([0, 2, 1, -1, 2]), "j": np.array([0, -1, 2, 0, -2])}
    assert "Where" in kinds_of(same(numbered(**more), values))


def flagged(other=1, marks=(0.0, 0.0, 1.0, 1.0), asked="i", axis=0):
    nodes = [
        ("Gather", f"marks {asked}", "mark", {}),
        ("Greater", "mark zero", "known", {}),
        ("Where", "known i other", "chosen", {}),
        ("Gather", "table chosen", "y", {"axis": axis}),
    ]
    given = {"marks": np.array(marks, np.float32), "zero": np.float32(0), "other": np.array(other)}
    table = np.arange(16, dtype=np.float32).reshape(4, 4)
    return graph(nodes, "y", inputs=[("i", WHOLE, [None]), ("j", WHOLE, [None])], table=table, **given)


FLAGS = {"i": np.array([0, 1, 2, 3, -1]), "j": np.array([3, 3, 0, 0, 2])}


def test_rows_by_flags_are_rows_of_one_table():
    assert kinds_of(same(flagged(), FLAGS)) == {"Gather"} and counted(same(flagged(), FLAGS), "Gather") == 1


@pytest.mark.parametrize("more", [{"other": [1]}, {"marks": (0, 1, 1, 0, 1)}, {"asked": "j"}, {"axis": 1}], ids=str)
def test_other_rows_by_flags_stay(more):
    assert "Where" in kinds_of(same(flagged(**more), FLAGS))


def prepared(name, centre, scale, least, kind, joined):
    """What puts one number in order, and says whether it is missing."""
    nodes = [
        ("Max", f"{name} {name}_least", f"{name}_m", {}),
        (joined, f"{name}_m one", f"{name}_a", {}),
        (kind, f"{name}_a", f"{name}_l", {}),
        ("IsNaN", f"{name}_l", f"{name}_n", {}),
        ("Cast", f"{name}_n", f"{name}_c", {"to": FLOAT}),
        ("Sub", f"{name}_l {name}_centre", f"{name}_s", {}),
        ("Mul", f"{name}_s {name}_scale", f"{name}_p", {}),
        ("Where", f"{name}_n zero {name}_p", f"{name}_w", {}),
    ]
    told = {"least": least, "centre": centre, "scale": scale}
    return nodes, {f"{name}_{what}": np.float32(v) for what, v in told.items()}


NUMBERS = {
    "x": np.array([0.0, NAN, 3.0], np.float32),
    "y": np.array([NAN, 5.0, -2.0], np.float32),
    "z": np.array([7.0, 0.5, NAN], np.float32),
    "own": np.array([[1, 2], [3, 4], [5, 6]], np.float32),
}


NUMBERS_ALONE = {name: NUMBERS[name] for name in "xyz"}


def features(
    wide=False, others=("Log", "Log", "Log"), joins=("Add", "Add", "Add"), pieces="z_w own x_c y_w z_c x_w y_c"
):
    parts = [
        prepared(name, at, at + 1.5, -at, *told)
        for at, (name, *told) in enumerate(zip("xyz", others, joins, strict=True))
    ]
    nodes = [node for each, _ in parts for node in each]
    given = {name: value for _, each in parts for name, value in each.items()}
    names = []
    for piece in pieces.split():
        column = piece
        if piece != "own":
            nodes.append(("Unsqueeze", f"{piece} across", f"{piece}_1", {}))
            column = f"{piece}_1"
        if wide:
            axes = "across" if piece == "own" else "deep"
            nodes.append(("Unsqueeze", f"{column} {axes}", f"{column}_2", {}))
            column = f"{column}_2"
        names.append(column)
    nodes += [("Concat", " ".join(names), "f", {"axis": 2 if wide else 1}), ("Neg", "f", "out", {})]
    inputs = [(name, FLOAT, [None]) for name in "xyz"] + [("own", FLOAT, [None, 2])]
    constants = {"one": np.float32(1), "zero": np.float32(0), "across": ONE, "deep": np.array([2])}
    return graph(nodes, "out", inputs=inputs, **constants, **given)


@pytest.mark.parametrize("wide", [False, True], ids=["rows", "rows of one place"])
def test_numbers_that_the_same_is_done_to_are_put_in_order_together(wide):
    model = same(features(wide), NUMBERS)
    assert {kind: counted(model, kind) for kind in ("Log", "IsNaN", "Where", "Mul", "Gather")} == {
        "Log": 1,
        "IsNaN": 1,
        "Where": 1,
        "Mul": 1,
        "Gather": 1,
    }


def test_numbers_that_something_else_is_done_to_are_not_among_them():
    model = same(features(others=("Log", "Sqrt", "Log")), NUMBERS)
    assert counted(model, "Log") == 1 and counted(model, "Sqrt") == 1 and counted(model, "IsNaN") == 2


def test_numbers_that_are_joined_otherwise_are_not_among_them():
    model = same(features(joins=("Add", "Mul", "Add")), NUMBERS)
    assert counted(model, "Log") == 2 and counted(model, "Mul") == 3


def test_one_column_of_its_kind_stays_as_it_is():
    model = features(pieces="x_w own y_c")
    before = len(model.graph.node)
    assert counted(same(model, NUMBERS), "Gather") == 0 and len(model.graph.node) <= before


def test_lines_that_nothing_is_done_to_stay():
    nodes = [("Unsqueeze", f"{name} across", f"{name}_1", {}) for name in "xyz"]
    nodes += [("Concat", "x_1 y_1 z_1", "f", {"axis": 1}), ("Neg", "f", "out", {})]
    model = same(graph(nodes, "out", inputs=[(name, FLOAT, [None]) for name in "xyz"], across=ONE), NUMBERS_ALONE)
    assert "Gather" not in kinds_of(model)


def test_columns_have_the_shape_of_one_another():
    nodes = [
        ("Unsqueeze", "i across", "column", {}),
        ("Shape", "column", "shape", {}),
        ("Cast", "shape", "short", {"to": TensorProto.INT32}),
        ("Concat", "short", "whole", {"axis": 0}),
        ("Cast", "whole", "long", {"to": WHOLE}),
        ("Reshape", "x long", "y", {}),
    ]
    inputs = [("i", WHOLE, [None]), ("x", FLOAT, [None])]
    model = same(graph(nodes, "y", inputs=inputs, across=ONE), {"i": np.arange(3), "x": NUMBERS["x"]})
    assert kinds_of(model) == {"Unsqueeze"}
