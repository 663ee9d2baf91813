"""Weights averaged over the last steps of a fit: they do better than those of one step, at which its lists pull."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

MOMENTUM = 0.99  # of the mean, a step: the last hundred steps make most of it


@contextmanager
def averaged(optimizer: Any, variables: Sequence[Any]) -> Iterator[None]:
    """Meanwhile variables have the fading mean of what they were (Polyak and Juditsky 1992), and then again what the
    next step goes on from.

    Args:
        optimizer: a Keras one; without `use_ema`, or before its first step, nothing changes.
        variables: all that it was built with.
    """
    last = [variable.numpy() for variable in variables]
    if optimizer.iterations.numpy():
        optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, values in zip(variables, last, strict=True):
            variable.assign(values)
