"""The models of the usual chain, a process each: `python -m benchmarks.serving.chain_models ROLE PORT WORKSPACE`.

`tower` and `ranker` are KServe models that run the release's SavedModels by TensorFlow; columns of tensors as JSON in
and out, V1, as TensorFlow Serving's REST has them.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))  # as `souk serve` has it

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from kserve import Model

from benchmarks.empty_server import LoopbackServer
from souk.cli.quiet import load_tensorflow, one_thread
from souk.release.bundle import Bundle
from souk.serving.inputs import item_inputs
from souk.workspace import Workspace


class Tensors(Model):
    """A SavedModel's `serve`: `{"inputs": {name: values}}` to `{"outputs": {name: values}}`.

    Args:
        name: of the model.
        path: the SavedModel.
        goods: `[items, width]` float32 of the ranker: who calls names candidates by their positions, which spares the
            chain the widest tensor; None for the tower.
    """

    def __init__(self, name: str, path: Path, goods: np.ndarray | None = None) -> None:
        super().__init__(name)
        self._model, self._goods = tf.saved_model.load(str(path)), goods
        self._serve = self._model.signatures["serve"]
        self._wanted = dict(self._serve.structured_input_signature[1])
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """The outputs, by name."""
        inputs = payload["inputs"]
        if self._goods is not None:
            inputs["goods"] = self._goods[inputs.pop("positions")]
        found = self._serve(
            **{name: tf.constant(np.array(inputs[name], s.dtype.as_numpy_dtype)) for name, s in self._wanted.items()}
        )
        return {"outputs": {name: values.numpy().tolist() for name, values in found.items()}}


def ranker(bundle: Bundle) -> Tensors:
    """With what it makes of the catalogue's items, as Souk keeps it too."""
    read = tf.saved_model.load(str(bundle.ranker)).signatures["goods"]
    wanted = dict(read.structured_input_signature[1])
    inputs = item_inputs(bundle.items.to_pydict(), bundle.spec)
    goods = read(**{name: tf.constant(inputs[name], spec.dtype) for name, spec in wanted.items()})["goods"].numpy()
    return Tensors("ranker", bundle.ranker, goods)


def main() -> None:
    """Serves a model until SIGTERM."""
    one_thread()
    load_tensorflow()
    role, port, workspace = sys.argv[1], int(sys.argv[2]), Workspace(Path(sys.argv[3]))
    bundle = Bundle.load(workspace.served_folder())
    model = ranker(bundle) if role == "ranker" else Tensors("tower", bundle.query_tower)
    LoopbackServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False).start([model])


if __name__ == "__main__":
    main()
