"""AdamW of rows: that of Keras where every row is looked up, and rows that are not looked up stand still."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from souk.models.optimizer import CLIP, RowAdamW

START = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
WANTED = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


def table(name="table"):
    return keras.Variable(START, name=name)


def slope(variable, rows, scale=1.0):
    """The gradient of a quadratic loss over `rows`, as a look-up gives it."""
    with tf.GradientTape() as tape:
        loss = scale * tf.reduce_sum(tf.square(tf.gather(variable.value, rows) - tf.gather(WANTED, rows)))
    return tape.gradient(loss, variable.value)


@pytest.mark.parametrize("scale", [0.01, 10.0])
def test_it_is_keras_where_every_row_is_looked_up(scale):
    mine, theirs = table(), table()
    rows = RowAdamW([mine], weight_decay=0.1)
    whole = keras.optimizers.AdamW(0.05, weight_decay=0.1, clipnorm=CLIP)
    rows.learning_rate.assign(0.05)
    for _ in range(20):
        found = slope(mine, [4, 0, 2, 1, 3, 0], scale)
        assert isinstance(found, tf.IndexedSlices)
        rows.apply([found])
        whole.apply_gradients([(tf.convert_to_tensor(slope(theirs, [4, 0, 2, 1, 3, 0], scale)), theirs)])
    assert np.abs(mine.numpy() - START).max() > 0.2
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_rows_that_are_not_looked_up_stand_still():
    variable = table()
    optimizer = RowAdamW([variable], weight_decay=0.1)
    optimizer.learning_rate.assign(0.05)
    optimizer.apply([slope(variable, [1, 3])])
    after = variable.numpy()
    for _ in range(3):
        optimizer.apply([slope(variable, [3])])
    assert (variable.numpy()[[0, 2, 4]] == START[[0, 2, 4]]).all()
    assert (variable.numpy()[1] == after[1]).all() and (after[1] != START[1]).all()
    assert (variable.numpy()[3] != after[3]).all()


def test_dense_variables_go_to_keras_and_those_without_a_gradient_stay():
    dense, idle = table("dense"), table("idle")
    optimizer = RowAdamW([dense, idle], weight_decay=0.0)
    optimizer.learning_rate.assign(0.05)
    optimizer.apply([tf.ones((5, 3)), None])
    np.testing.assert_allclose(dense.numpy(), START - 0.05, atol=1e-5)
    assert (idle.numpy() == START).all()


def test_a_compiled_step_is_the_eager_one():
    eager, compiled = table("eager"), table("compiled")
    optimizers = [RowAdamW([eager], 0.1), RowAdamW([compiled], 0.1)]
    step = tf.function(lambda rows: optimizers[1].apply([slope(compiled, rows)]))
    for optimizer in optimizers:
        optimizer.learning_rate.assign(0.05)
    for rows in ([0, 1], [1, 2], [2, 2]):
        optimizers[0].apply([slope(eager, rows)])
        step(tf.constant(rows))
    np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-6)
