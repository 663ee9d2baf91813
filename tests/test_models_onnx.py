"""The graphs that answer requests: they give what their model gives, or there is none."""

import logging

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from souk.graphs import Graph
from souk.models.export import samples, write
from souk.models.onnx_graph import Untranslated, write_onnx
from souk.serving.signatures import SavedModel


class Model(tf.Module):
    """Each operation that the conversion is taught, and what a concatenation of unknown rank would go wrong by."""

    def __init__(self):
        super().__init__()
        words = tf.lookup.KeyValueTensorInitializer(tf.constant(["a", "b c"]), tf.constant([7, 8], tf.int64))
        self.table = tf.lookup.StaticHashTable(words, -1)
        self.weight = tf.Variable([[2.0], [3.0]])
        self.dense = keras.layers.Dense(2, kernel_initializer=keras.initializers.Constant([[1.0, 2.0], [3.0, 4.0]]))
        self.dense.build((None, None, 2))

    def serve(self, word, number):
        known = tf.where(tf.math.is_nan(number), 4.0, number)
        place = tf.range(tf.size(number)) // 2  # two rows a segment; the others have none
        sorted_ = tf.constant([[-1.0, 0.0, 0.5]])
        return {
            "id": self.table.lookup(word),
            "empty": tf.cast(tf.not_equal(word, ""), tf.int64),
            "same": tf.cast(tf.equal(word, "b c"), tf.int64),
            "bucket": tf.raw_ops.UpperBound(sorted_inputs=sorted_, values=number[tf.newaxis], out_type=tf.int32)[0],
            "log": tf.math.log1p(number),
            "dense": self.dense(tf.stack([number, 2 * number], 1)[:, tf.newaxis])[:, 0],  # of three axes
            "most": tf.math.unsorted_segment_max(known, place, tf.size(number) + 1)[:-1],
            "sums": tf.math.unsorted_segment_sum(tf.stack([known, -known], 1), place, tf.size(number)),
            "mean": tf.math.unsorted_segment_mean(known, place, tf.size(number)),
            "product": tf.concat([number[:, tf.newaxis], number[:, tf.newaxis]], -1) @ self.weight,
        }


SIGNATURE = {
    "word": tf.TensorSpec([None], tf.string, name="word"),
    "number": tf.TensorSpec([None], tf.float32, name="number"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("model"), Model()
    write(model, folder, serve=(model.serve, SIGNATURE))
    return folder


def test_a_graph_gives_what_the_model_gives(saved):
    assert (saved / "serve.onnx").is_file()
    inputs = {
        "word": np.array(["", "a", "b c", "new"], object),
        "number": np.array([0.5, np.nan, -0.5, 9.0], np.float32),
    }
    found, wanted = SavedModel(saved).signature("serve")(inputs), SavedModel(saved).by_tensorflow("serve")(inputs)
    assert list(found) == list(wanted) == sorted(wanted) and len(wanted) == 10
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)
    graph = onnx.load(saved / "serve.onnx").graph
    assert not [node.name for node in graph.node if "Tensordot" in node.name and node.op_type != "MatMul"]
    assert found["bucket"].tolist() == [3, 3, 1, 3] and found["id"].tolist() == [-1, 7, 8, -1]


def test_what_cannot_be_translated_is_left_to_tensorflow_and_told(tmp_path, caplog):
    class Hashes(tf.Module):
        def serve(self, word, number):
            known = tf.where(word == "", "none", word)  # which no input is: who runs the graph can't hash it ahead
            return {"id": tf.strings.to_hash_bucket_fast(known, 100), "more": number + 1}

    model = Hashes()
    with caplog.at_level(logging.WARNING):
        write(model, tmp_path, serve=(model.serve, SIGNATURE))
    assert "No Op registered for Hash" in caplog.text and not (tmp_path / "serve.onnx").exists()
    inputs = {"word": np.array(["a"], object), "number": np.array([1], np.float32)}
    (bucket,) = SavedModel(tmp_path).signature("serve")(inputs)["id"]
    assert bucket == tf.strings.to_hash_bucket_fast("a", 100).numpy()


def test_a_graph_that_gives_something_else_is_not_written(saved, tmp_path):
    def other(word, number):
        return {**Model().serve(word, number), "log": number}

    inputs = {"word": np.array(["a"], object), "number": np.array([3], np.float32)}
    with pytest.raises(Untranslated, match="another log"):
        write_onnx(saved, "serve", tmp_path / "serve.onnx", other, [inputs])
    assert not any(tmp_path.iterdir())


def test_a_small_probability_that_is_twice_what_it_should_be_is_seen(tmp_path):
    class Rare(tf.Module):
        def serve(self, word, number):
            return {"bought": tf.sigmoid(number / 10 - 8)}

    model, inputs = Rare(), {"word": np.array(["a"], object), "number": np.array([0.1], np.float32)}
    write(model, tmp_path, serve=(model.serve, SIGNATURE))

    def twice(word, number):
        return {"bought": 2 * model.serve(word, number)["bought"]}

    with pytest.raises(Untranslated, match="another bought"):
        write_onnx(tmp_path, "serve", tmp_path / "again.onnx", twice, [inputs])


def test_what_is_compared_has_words_of_the_vocabularies_and_whole_histories(saved):
    inputs = {
        "token_item_id": tf.TensorSpec([None, 12], tf.string),
        "token_count": tf.TensorSpec([None], tf.int64),
    }
    found, alone = samples(inputs, ["known"])
    assert found["token_count"].tolist() == [0, 1, 6, 12] and "known" in found["token_item_id"].ravel().tolist()
    assert alone["token_count"].tolist() == [2] and alone["token_item_id"].shape == (1, 12)


def test_what_is_compared_are_candidates_of_several_and_of_one():
    inputs = {"request": tf.TensorSpec([None], tf.int64), "pair": tf.TensorSpec([None, 3], tf.float32)}
    found, alone = samples(inputs | {"query_hour": tf.TensorSpec([None], tf.int64)})
    assert found["request"].tolist() == [0, 0, 0, 2, 2] and alone["request"].tolist() == [0, 0]
    np.testing.assert_array_equal(alone["pair"], found["pair"][3:])
    assert alone["query_hour"].tolist() == found["query_hour"][2:3].tolist()


def test_a_graph_that_gives_something_else_for_one_alone_is_not_written(saved, tmp_path):
    def other(word, number):
        given = Model().serve(word, number)
        return given if len(number) > 1 else {**given, "log": number}

    several = {"word": np.array(["a", "b"], object), "number": np.array([3, 4], np.float32)}
    alone = {name: values[:1] for name, values in several.items()}
    write_onnx(saved, "serve", tmp_path / "serve.onnx", other, [several])
    with pytest.raises(Untranslated, match="another log"):
        write_onnx(saved, "serve", tmp_path / "again.onnx", other, [several, alone])


def test_a_graph_passes_over_what_it_does_not_look_at(saved, tmp_path):
    inputs = {"word": np.array(["a"], object), "number": np.array([1], np.float32), "more": np.zeros(3)}
    assert Graph(saved / "serve.onnx")(inputs)["id"].tolist() == [7]

    class Deaf(tf.Module):
        def serve(self, word, number):
            return {"half": number / 2}

    model = Deaf()
    write(model, tmp_path, serve=(model.serve, SIGNATURE))
    assert Graph(tmp_path / "serve.onnx")(inputs)["half"].tolist() == [0.5]
