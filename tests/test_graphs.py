"""Texts are hashed ahead of a graph, as TensorFlow hashes them within its model."""

import numpy as np
import onnx
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from souk.graphs import Graph, hashed
from souk.models.export import write
from souk.serving.signatures import SavedModel

TEXTS = np.array([["", "ab", "ab"], ["größe 🧥", "a" * 70, "b" * 33]], object)


class Hashes(tf.Module):
    """One text of two widths, and another: as two towers of one item would read them."""

    def serve(self, words, name, number):
        few = tf.where(words == "", tf.constant(0, tf.int64), tf.strings.to_hash_bucket_fast(words, 10) + 2)
        many = tf.strings.to_hash_bucket_fast(tf.identity(words), 1 << 40)
        return {"few": few, "many": many, "label": tf.strings.to_hash_bucket_fast(name, 10), "more": number + 1}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("hashes"), Hashes()
    inputs = {
        "words": tf.TensorSpec([None, 3], tf.string, name="words"),
        "name": tf.TensorSpec([None], tf.string, name="name"),
        "number": tf.TensorSpec([None], tf.float32, name="number"),
    }
    write(model, folder, serve=(model.serve, inputs))
    return SavedModel(folder)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=90), min_size=1), st.integers(1, 1 << 62))
def test_the_hash_is_tensorflows(texts, buckets):
    wanted = tf.strings.to_hash_bucket_fast(texts, buckets).numpy()
    np.testing.assert_array_equal(hashed(np.array(texts, object), buckets), wanted)


def test_a_graph_of_hashed_texts_gives_what_its_model_gives(saved):
    inputs = {"words": TEXTS, "name": np.array(["b", ""], object), "number": np.array([1, 2], np.float32)}
    found, wanted = saved.graph("serve")(inputs), saved.by_tensorflow("serve")(inputs)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, name)
    assert found["few"][0].tolist() == [0, *found["few"][0, 1:2], *found["few"][0, 1:2]] and found["few"][0, 1] >= 2


def test_a_text_is_hashed_once_for_each_number_of_buckets(saved):
    graph = onnx.load(saved._path / "serve.onnx").graph
    ahead = [each.name for each in graph.input if "#" in each.name]
    assert sorted(ahead) == ["name#10", "words#10", f"words#{1 << 40}"]
    assert not [node for node in graph.node if node.op_type == "Hash"]


def test_texts_in_another_shape_than_the_graphs_are_refused(saved):
    inputs = {"words": TEXTS[:, :2], "name": np.array(["b", ""], object), "number": np.array([1, 2], np.float32)}
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        Graph(saved._path / "serve.onnx")(inputs)
