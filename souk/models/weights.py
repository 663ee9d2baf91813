"""Weights as named arrays: what a release is named by, and where a fit goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from souk.errors import SoukError


def named_weights(model: keras.layers.Layer) -> dict[str, Any]:
    """The weights of a model by path. The states of random generators are among its `variables` alone."""
    return dict(sorted({v.path: v for v in model.weights}.items()))


def snapshot(*models: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Copies of the weights of models, by path."""
    return {name: variable.numpy() for model in models for name, variable in named_weights(model).items()}


def save_weights(path: str | Path, *models: keras.layers.Layer) -> None:
    """Writes the arrays of models to an `.npz`."""
    arrays: dict[str, Any] = snapshot(*models)
    np.savez(path, **arrays)


def load_weights(path: str | Path, model: keras.layers.Layer) -> None:
    """Reads what `save_weights` wrote into a model of the same shape.

    Raises:
        SoukError: an array is missing or has another shape.
    """
    with np.load(path, allow_pickle=False) as arrays:
        for name, variable in named_weights(model).items():
            found = arrays[name].shape if name in arrays.files else None
            if found != tuple(variable.shape):
                raise SoukError(
                    f"{name} of shape {tuple(variable.shape)} in {path}",
                    str(found),
                    "Continue only from towers of the same features and config; run the pipeline without `previous`.",
                )
            variable.assign(arrays[name])
