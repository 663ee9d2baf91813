"""Averaged weights: what judges see is the fading mean of the steps, and the fit goes on from the last step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from souk.models.averaged import MOMENTUM, averaged


def fitted(use_ema: bool, steps: int):
    """A weight that goes up by 1 a step, and what each step left."""
    weight = tf.Variable([0.0, 10.0])
    optimizer = keras.optimizers.SGD(1.0, use_ema=use_ema, ema_momentum=MOMENTUM)
    optimizer.build([weight])
    seen = []
    for _ in range(steps):
        optimizer.apply_gradients([(tf.constant([-1.0, -1.0]), weight)])
        seen.append(weight.numpy())
    return weight, optimizer, seen


@pytest.mark.parametrize("steps", [1, 2, 150])
def test_judges_see_the_fading_mean_and_the_fit_goes_on_from_its_last_step(steps):
    weight, optimizer, seen = fitted(True, steps)
    mean = seen[0]
    for values in seen[1:]:
        mean = MOMENTUM * mean + (1 - MOMENTUM) * values
    with averaged(optimizer, [weight]):
        np.testing.assert_allclose(weight.numpy(), mean, rtol=1e-5)
    np.testing.assert_array_equal(weight.numpy(), seen[-1])


def test_the_last_step_comes_back_after_an_error():
    weight, optimizer, seen = fitted(True, 3)
    with pytest.raises(ZeroDivisionError), averaged(optimizer, [weight]):
        raise ZeroDivisionError
    np.testing.assert_array_equal(weight.numpy(), seen[-1])


@pytest.mark.parametrize(("use_ema", "steps"), [(False, 3), (True, 0)])
def test_without_a_mean_nothing_changes(use_ema, steps):
    weight, optimizer, _ = fitted(use_ema, steps)
    before = weight.numpy()
    with averaged(optimizer, [weight]):
        np.testing.assert_array_equal(weight.numpy(), before)
