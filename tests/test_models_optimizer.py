"""AdamW of rows: that of Keras where every row is looked up, and rows that are not looked up stand still."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from souk.models.fit_towers import TowerFit
from souk.models.optimizer import CLIP, RowAdamW
from souk.schema import FOREVER
from tests.models_fixtures import cycle_market
from tests.towers_fixtures import CONFIG, Market

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


def test_tables_of_one_name_keep_moments_of_their_own():
    twins, alone = [table(), table()], [table("a"), table("b")]
    optimizers = [RowAdamW(twins, 0.0), *(RowAdamW([each], 0.0) for each in alone)]
    for optimizer in optimizers:
        optimizer.learning_rate.assign(0.05)
    for _ in range(3):
        optimizers[0].apply([slope(twins[0], [0, 1]), slope(twins[1], [1, 2], 3.0)])
        optimizers[1].apply([slope(alone[0], [0, 1])])
        optimizers[2].apply([slope(alone[1], [1, 2], 3.0)])
    for one, other in zip(twins, alone, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6)


def test_a_table_that_is_looked_up_in_two_places_has_the_sum_of_both_gradients():
    mine, theirs = table(), table()
    rows, whole = RowAdamW([mine], 0.1), keras.optimizers.AdamW(0.05, weight_decay=0.1, clipnorm=CLIP)
    rows.learning_rate.assign(0.05)
    every = tf.constant([0, 1, 2, 3, 4])
    for _ in range(5):
        with tf.GradientTape() as tape:
            first, second = tf.gather(mine.value, [3, 3, 1]), tf.gather(mine.value, every)
            loss = tf.reduce_sum(first**2) + tf.reduce_sum((second - WANTED) ** 2)
        found = tape.gradient(loss, mine.value)
        assert isinstance(found, tf.IndexedSlices) and len(found.indices) == 8
        rows.apply([found])
        with tf.GradientTape() as tape:
            weights = theirs.value
            loss = tf.reduce_sum((weights - WANTED) ** 2) + tf.reduce_sum(weights[1] ** 2 + 2 * weights[3] ** 2)
        whole.apply_gradients([(tape.gradient(loss, weights), theirs)])
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


def ops_of(sizes, work):
    """How many operations `work` is, and by type, how many of them give something of one of these sizes.

    A variable that is read is not copied.
    """
    every = Counter()

    def note(kind, inputs, attributes, outputs, name=None, graph=None):
        whole = any(size in output.shape.as_list() for output in outputs or () for size in sizes)
        every[kind, whole and kind != "ReadVariableOp"] += 1

    op_callbacks.add_op_callback(note)
    try:
        work()
    finally:
        op_callbacks.remove_op_callback(note)
    return sum(every.values()), {kind: count for (kind, whole), count in every.items() if whole}


def test_a_step_computes_nothing_of_the_rows_that_are_not_looked_up():
    """A table of a million rows of which three are looked up: what is computed is of these."""
    rows = 1_000_000
    variable = keras.Variable(np.zeros((rows, 2), np.float32))
    optimizer = RowAdamW([variable], weight_decay=0.1)

    def looked_up():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(tf.gather(variable.value, [1, 7, 7]) - 1))
        return tape.gradient(loss, variable.value)

    optimizer.apply([looked_up()])  # which makes the moments
    every, whole = ops_of([rows], lambda: optimizer.apply([looked_up()]))
    assert every > 20 and not whole
    _, whole = ops_of([rows], lambda: optimizer.apply([tf.convert_to_tensor(looked_up())]))
    assert sum(whole.values()) > 5, "as it is with a dense gradient"


@pytest.mark.slow
def test_a_step_of_the_towers_computes_nothing_of_the_whole_catalogue(tmp_path):
    """Look-ups, sample, loss, gradients and moves, one operation at a time."""
    items = 499
    market = Market(tmp_path, *cycle_market(users=20, items=items))
    model = market.towers()
    fit = TowerFit(model, market.sequences, market.catalogue, CONFIG)
    fit._known.assign(np.arange(items))
    fit._frequency.assign(np.full(items, 1 / items))
    batch = next(iter(market.sequences.batches(CONFIG.batch_rows, 0, FOREVER)))
    fit._train(batch)
    sizes = {items, *(v.shape[0] for v in model.weights if len(v.shape) and v.shape[0] >= items)}
    assert len(sizes) > 1, "a table has rows for what is missing or unknown, too"
    every, whole = ops_of(sizes, lambda: fit._train(batch))
    assert every > 500 and not whole
