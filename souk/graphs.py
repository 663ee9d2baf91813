"""ONNX graphs of the models, as functions of arrays: what answers requests (souk.models.onnx_graph writes them)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import farmhash
import numpy as np
import onnxruntime

from souk.limits import limit

HASHED = "#"  # an input `words#1000` is what the graph makes of `words`: the bucket of each, of so many


class Graph:
    """A signature as an ONNX graph, which runs in the calling thread.

    Texts are hashed ahead of it, for ONNX has no such hash. A run that is not done within the thread's limit
    (souk.limits) is broken off, between two operations.

    Args:
        graph: the file, or its bytes.
    """

    def __init__(self, graph: Path | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # small ones: threads would wait for each other
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        names = [each.name.partition(HASHED) for each in self._session.get_inputs()]
        self._inputs = [name for name, hash_of, _ in names if not hash_of]
        self._hashed = {f"{name}{HASHED}{buckets}": (name, int(buckets)) for name, _, buckets in names if buckets}
        self._outputs = sorted(each.name for each in self._session.get_outputs())

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs, in the order of their names, for arrays of which those it does not look at are passed over.

        Raises:
            TimeoutError: it was broken off.
        """
        given = {name: inputs[name] for name in self._inputs}
        given |= {own: hashed(inputs[name], buckets) for own, (name, buckets) in self._hashed.items()}
        return dict(zip(self._outputs, self._run(given), strict=True))

    def _run(self, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        own = limit()
        if own is None:
            return list(self._session.run(self._outputs, given))
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # that it was broken off is the caller's to tell
        try:
            with own.ending(lambda: setattr(options, "terminate", True)):
                return list(self._session.run(self._outputs, given, options))
        except Exception as error:
            if options.terminate:
                raise TimeoutError("broken off, for its time was over") from error
            raise


def hashed(texts: np.ndarray, buckets: int) -> np.ndarray:
    """The bucket of each text, an int64 array of the same shape: TensorFlow's `string_to_hash_bucket_fast`."""
    flat = texts.ravel().tolist()
    known = {text: farmhash.fingerprint64(text) % buckets for text in set(flat)}
    return np.fromiter(map(known.__getitem__, flat), np.int64, len(flat)).reshape(texts.shape)
