"""Graphs of fewer nodes give what the model gives, and what only looks like a layer of ours stays."""

from collections import Counter

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto
from tensorflow_transform import mappers

from souk.graphs import Graph
from souk.models.export import write
from tests.onnx_graphs import graph, kinds_of, same

ROWS = [1, 2, 5]


class Layers(tf.Module):
    """What the towers are made of: each makes a dozen nodes or more as it is translated."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.LayerNormalization(
            epsilon=1e-3, beta_initializer="ones", gamma_initializer=keras.initializers.Constant([1.0, 2.0, 3.0])
        )
        self.norm.build((None, None, 3))
        self.table = keras.layers.Embedding(4, 3, embeddings_initializer=keras.initializers.RandomNormal(seed=1))
        self.table.build(())

    def serve(self, number, wide, place, length):
        bucket = mappers.apply_buckets(number, tf.constant([[-1.0, 0.0, 0.5]]))
        flat = tf.reshape(number[:, tf.newaxis], [-1])
        return {
            "norm": self.norm(wide),
            "embedded": self.table(tf.clip_by_value(place, -4, 3)),  # a sample has any number
            "bucket": bucket,
            "column": (2 * flat)[:, tf.newaxis],
            "chosen": tf.where(bucket > 1, tf.cast(place, tf.int64), bucket),
            "first": wide[:, : tf.reduce_max(length)],
        }


SIGNATURE = {
    "number": tf.TensorSpec([None], tf.float32, name="number"),
    "wide": tf.TensorSpec([None, 4, 3], tf.float32, name="wide"),
    "place": tf.TensorSpec([None], tf.int64, name="place"),
    "length": tf.TensorSpec([None], tf.int64, name="length"),
}


@pytest.fixture(scope="module")
def model():
    return Layers()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layers")
    write(model, folder, serve=(model.serve, SIGNATURE))
    return folder / "serve.onnx"


@pytest.mark.parametrize("rows", ROWS)
def test_a_graph_gives_what_the_model_gives(model, saved, rows):
    rng = np.random.default_rng(rows)
    inputs = {
        "number": rng.choice(np.array([-1.0, -0.5, 0.0, 0.4, 0.5, 7.0], np.float32), rows),
        "wide": rng.normal(size=(rows, 4, 3)).astype(np.float32),
        "place": rng.integers(-4, 4, rows),  # negative ones count from the end
        "length": rng.integers(0, 5, rows),
    }
    wanted, found = model.serve(**{name: tf.constant(value) for name, value in inputs.items()}), Graph(saved)(inputs)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], np.asarray(value), rtol=1e-5, atol=1e-6, err_msg=name)


def test_what_is_one_operation_is_one_node(saved):
    kinds = Counter(node.op_type for node in onnx.load(saved).graph.node)
    assert kinds["LayerNormalization"] == 1 and not kinds.keys() & {"ReduceMean", "Reciprocal", "Neg"}
    assert kinds["Gather"] == 1
    assert kinds["Slice"] == 1  # of `first`; a new axis is none
    assert (
        kinds["Where"] == 1
    )  # of `chosen`: none for a negative place, for a slice's direction or for a sum of products
    assert kinds["Reshape"] == 0  # of a line of numbers to a line


NORM = {"axes": [-1], "square": "d d", "centre": "x m", "divided": "x n", "negative": "m"}
NORMS = [
    (NORM, True),
    ({**NORM, "axes": [0]}, False),  # of another axis
    ({**NORM, "square": "d x"}, False),  # no variance
    ({**NORM, "centre": "x v"}, False),  # about another centre
    ({**NORM, "negative": "v"}, False),  # moved by another
    ({**NORM, "centre": "x v", "negative": "v"}, False),  # about the mean of another value, and moved by it
    ({**NORM, "divided": "y n"}, False),  # of another value
]


@pytest.mark.parametrize(("parts", "one"), NORMS)
def test_a_normalisation_alone_is_taken_for_one(parts, one):
    nodes = [
        ("Identity", "x", "y0", {}),
        ("Exp", "y0", "y", {}),
        ("ReduceMean", "x axes", "m", {}),
        ("ReduceMean", "y axes", "v", {}),
        ("Sub", parts["centre"], "d", {}),
        ("Mul", parts["square"], "s", {}),
        ("ReduceMean", "s axes", "w", {}),
        ("Add", "w e", "we", {}),
        ("Sqrt", "we", "r", {}),
        ("Reciprocal", "r", "rr", {}),
        ("Mul", "rr g", "n", {}),
        ("Neg", parts["negative"], "neg", {}),
        ("Mul", "neg n", "ns", {}),
        ("Add", "ns b", "shift", {}),
        ("Mul", parts["divided"], "scaled", {}),
        ("Add", "scaled shift", "z", {}),
    ]
    constants = {"axes": np.array(parts["axes"]), "e": np.float32(1.0)}
    wide = {"g": np.array([1, 2, 3], np.float32), "b": np.array([3, 2, 1], np.float32)}
    model = graph(nodes, "z", **constants, **wide)
    assert ("LayerNormalization" in kinds_of(same(model))) is one


PLACES = [
    ("i", "i", 4, 0, True),
    ("i", "i", 3, 0, False),  # no number of rows
    ("i", "i", 4, 1, False),  # along another axis
    ("j", "i", 4, 0, False),  # one place asked for its sign, another taken
]


@pytest.mark.parametrize(("asked", "taken", "rows", "axis", "plain"), PLACES)
def test_places_that_count_from_the_end_alone_are_left_to_gather(asked, taken, rows, axis, plain):
    nodes = [
        ("Mul", "i one", "j", {}),
        ("Cast", asked, "c", {"to": TensorProto.FLOAT}),
        ("Less", "c zero", "less", {}),
        ("Add", f"{taken} rows", "more", {}),
        ("Where", f"less more {taken}", "place", {}),
        ("Gather", "table place", "z", {"axis": axis}),
    ]
    table = np.arange(16, dtype=np.float32).reshape(4, 4)
    model = graph(nodes, "z", zero=np.float32(0), one=np.array(1), rows=np.array(rows), table=table)
    assert ("Where" not in kinds_of(same(model))) is plain


@pytest.mark.parametrize(
    ("start", "end", "step", "kept"),
    [(0, 2**31 - 1, 1, False), (1, 10**9, 1, True), (0, 2, 1, True), (0, 10**9, 2, True)],
)
def test_a_slice_of_all_alone_is_none(start, end, step, kept):
    given = {"s": np.array([start]), "e": np.array([end]), "a": np.array([1]), "p": np.array([step])}
    model = graph([("Slice", "x s e a p", "y", {}), ("Neg", "y", "z", {})], "z", **given)
    assert ("Slice" in kinds_of(same(model))) is kept


@pytest.mark.parametrize(("step", "kept"), [(1, False), (-1, True)])
def test_the_end_of_a_slice_that_steps_back_stays(step, kept):
    nodes = [
        ("Less", "p zero", "back", {}),
        ("Equal", "i most", "whole", {}),
        ("And", "whole back", "both", {}),
        ("Where", "both least i", "y", {}),
        ("Neg", "y", "z", {}),
    ]
    given = {"p": np.array([step]), "zero": np.array([0]), "most": np.array(2), "least": np.array(-9)}
    assert ("Where" in kinds_of(same(graph(nodes, "z", TensorProto.INT64, **given)))) is kept


def test_an_output_that_is_only_renamed_stays():
    assert kinds_of(same(graph([("Identity", "x", "z", {})], "z"))) == {"Identity"}
