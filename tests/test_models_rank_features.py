"""What pair features become: scales that neither time nor the order of a sum moves."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from souk.models.export import write
from souk.models.rank_features import Normalise, Relative
from souk.serving.signatures import SavedModel

CANDIDATES = 300
SPREADS = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
OFFSETS = (0.0, 1.1, 7.3, -6.9)


def nearly_constant():
    """A column for each spread about each offset, `[candidates, columns]`."""
    random = np.random.default_rng(3)
    noise = random.normal(size=(CANDIDATES, len(SPREADS), len(OFFSETS)))
    values = np.array(OFFSETS) + np.array(SPREADS)[:, None] * noise
    return np.clip(values, -8, 8).reshape(CANDIDATES, -1).astype(np.float32)


def standing(values):
    relative, request = Relative(name="relative"), tf.zeros(len(values), tf.int64)
    return relative(tf.constant(values), *relative.spread(tf.constant(values), request, 1)).numpy()


def test_a_nearly_constant_feature_is_the_same_in_whatever_order_it_is_summed():
    values = nearly_constant()
    found, turned = standing(values), standing(values[::-1])[::-1]
    exact = values.astype(np.float64)
    deviation = exact.std(axis=0)
    wanted = (exact - exact.mean(axis=0)) * deviation / (deviation**2 + 1e-4)
    np.testing.assert_allclose(found, wanted, atol=5e-5)
    np.testing.assert_allclose(turned, found, atol=5e-5)
    constant = np.repeat(np.array(SPREADS) <= 1e-7, len(OFFSETS))
    assert np.abs(found[:, constant]).max() < 1e-6 and np.abs(turned[:, constant]).max() < 1e-6


def test_a_feature_that_tells_candidates_apart_has_a_mean_of_0_and_a_deviation_of_1():
    told = standing(nearly_constant())[:, -2 * len(OFFSETS) :]
    np.testing.assert_allclose(told.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(told.std(axis=0), 1, atol=0.02)


def test_the_graph_that_answers_gives_what_the_model_gives_however_constant_a_feature_is(tmp_path):
    relative = Relative(name="relative")

    class Standing(tf.Module):
        def serve(self, pair, request):
            spread = relative.spread(pair, request, tf.reduce_max(request) + 1)
            return {"standing": relative(pair, *(tf.gather(values, request) for values in spread))}

    pair = {
        "pair": tf.TensorSpec([None, len(SPREADS) * len(OFFSETS)], tf.float32, name="pair"),
        "request": tf.TensorSpec([None], tf.int64, name="request"),
    }
    write(Standing(), tmp_path, serve=(Standing().serve, pair))
    inputs = {"pair": nearly_constant(), "request": np.repeat([0, 1], CANDIDATES // 2)}
    saved = SavedModel(tmp_path)
    assert (tmp_path / "serve.onnx").is_file()
    found, wanted = (how(inputs)["standing"] for how in (saved.signature("serve"), saved.by_tensorflow("serve")))
    np.testing.assert_allclose(found, wanted, atol=5e-5)


@pytest.mark.parametrize("value", [0.1234, 1.0, 0.0, 1e-6])
def test_a_constant_column_is_0_however_many_rows_there_are(value):
    layer, values = Normalise(name="normalise"), np.full((2_000_000, 1), value, np.float32)
    layer.build(values.shape)
    layer.adapt(values)
    assert layer.deviation.numpy() == 1
    assert np.abs(layer(values[:5]).numpy()).max() < 1e-6


def test_a_column_of_small_shares_keeps_its_scale():
    layer, values = Normalise(name="normalise"), np.linspace(0, 1e-6, 1000, dtype=np.float32)[:, None]
    layer.build(values.shape)
    layer.adapt(values)
    assert layer(values).numpy().std() == pytest.approx(1, rel=1e-3)


def test_statistics_are_those_of_the_candidates_and_take_little_memory_beside_the_pairs():
    """The pairs of all examples are most of what training the ranker holds: a copy of them is too much."""
    random = np.random.default_rng(2)
    values = random.normal(3, 2, (40, 101, 50)).astype(np.float32)
    inside = random.random(values.shape[:2]) < 0.7
    layer = Normalise(name="normalise")
    layer.build((None, values.shape[-1]))
    tracemalloc.start()
    layer.adapt(values, inside)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < values.nbytes / 4  # 3 times them with all columns at once
    columns = [column.astype(np.float64) for column in values[inside].T]
    np.testing.assert_array_equal(layer.mean, np.float32([np.mean(column) for column in columns]))
    np.testing.assert_array_equal(layer.deviation, np.float32([np.std(column) for column in columns]))
