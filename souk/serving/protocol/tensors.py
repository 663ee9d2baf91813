"""The V2 form of requests and answers: a tensor for each field, a row for each request."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse

from souk.errors import SoukError, unknown
from souk.serving.fields import is_text
from souk.serving.request import MAX_INSTANCES, SUBJECTS
from souk.serving.slate import Slate

INPUTS = {
    "user_id": ("BYTES",),
    "item_id": ("BYTES",),
    "k": ("INT32", "INT64"),
    "timestamp": ("INT64",),
    "timeout_ms": ("INT32", "INT64"),
    "context": ("BYTES",),
    "profile": ("BYTES",),
    "events": ("BYTES",),
    "exclude": ("BYTES",),
    "candidates": ("BYTES",),
    "filter": ("BYTES",),
}
JSON_INPUTS = ("context", "profile", "events", "exclude", "candidates", "filter")
OUTPUTS = {"item_id": "BYTES", "score": "FP32", "slate": "BYTES"}


def instances_of(request: InferRequest) -> list[dict[str, Any]]:
    """The rows of a V2 request as V1 instances; an empty text is an absent field.

    Raises:
        SoukError: an unknown or missing tensor, or one of the wrong datatype, shape or content.
    """
    try:
        return _rows(request)
    except (TypeError, ValueError, AttributeError) as error:  # the binary form is not typed by KServe
        raise SoukError("tensors as the V2 protocol has them", str(error)[:200], "See docs/serving.md.") from error


def _rows(request: InferRequest) -> list[dict[str, Any]]:
    if len(request.inputs) > len(INPUTS):
        raise SoukError(f"at most {len(INPUTS)} inputs", f"{len(request.inputs)}", "Send one tensor a field.")
    columns: dict[str, list[Any]] = {}
    for tensor in request.inputs:
        if tensor.name in columns:
            raise SoukError("each input once", f"{tensor.name!r} twice", "Send one tensor a field.")
        columns[tensor.name] = _column(tensor)
    subject = next((name for name in SUBJECTS if name in columns), "")
    if not subject:
        expected = "an input user_id, item_id or events (BYTES, [n])"
        raise SoukError(expected, f"inputs {sorted(columns)}", "See docs/serving.md.")
    rows = len(columns[subject])
    for name, values in columns.items():
        if len(values) != rows:
            raise SoukError(f"input {name} of shape [{rows}], as {subject}", f"[{len(values)}]", "One row a request.")
    if not is_text(str(request.id or "")):  # the answer has it
        raise SoukError("an id in UTF-8", repr(request.id)[:80])
    _check_outputs(request)
    return [{name: values[row] for name, values in columns.items() if values[row] is not None} for row in range(rows)]


def response_of(slates: Sequence[Slate], request: InferRequest) -> InferResponse:
    """Slates as `item_id` and `score` [n, k] (short rows padded with "" and 0) and `slate` [n], each a JSON text."""
    width = max((len(slate.items) for slate in slates), default=0)
    ids = np.full((len(slates), width), "", dtype=object)
    scores = np.zeros((len(slates), width), dtype=np.float32)
    for row, slate in enumerate(slates):
        ids[row, : len(slate.items)] = [item.item_id for item in slate.items]
        scores[row, : len(slate.items)] = [item.score for item in slate.items]
    texts = np.array([json.dumps(slate.to_json(), ensure_ascii=False) for slate in slates], dtype=object)
    arrays = {"item_id": ids, "score": scores, "slate": texts}
    binary = bool(request.use_binary_outputs)
    return InferResponse(
        response_id=str(request.id or uuid.uuid4()),
        model_name=request.model_name,
        infer_outputs=[
            InferOutput(name, list(array.shape), OUTPUTS[name], array.ravel().tolist() if request.from_grpc else array)
            for name, array in _wanted(arrays, request).items()
        ],
        requested_outputs=None if request.from_grpc else request.request_outputs,
        use_binary_outputs=binary,
    )


def _wanted(arrays: dict[str, np.ndarray], request: InferRequest) -> dict[str, np.ndarray]:
    if not request.request_outputs:
        return arrays
    return {output.name: arrays[output.name] for output in request.request_outputs}


def elements(request: InferRequest) -> int:
    """How many values the tensors hold at most, by their data and not by their shapes: a text has 4 bytes of length."""
    return sum(len(tensor.data or ()) + len(tensor._raw_data or b"") // 4 for tensor in request.inputs)


def rows(tensor: InferInput) -> int:
    """What the shape of a tensor that was not checked says, up to MAX_INSTANCES; 1 where it says nothing."""
    shape = tensor.shape
    given = shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) and shape[0] > 0 else 1
    return min(given, MAX_INSTANCES)


def _column(tensor: InferInput) -> list[Any]:
    if tensor.name not in INPUTS:
        raise unknown("an input", str(tensor.name)[:80], INPUTS)
    if tensor.datatype not in INPUTS[tensor.name]:
        remedy = "The model's metadata, GET /v2/models/NAME, name the datatype of each input."
        raise SoukError(f"input {tensor.name} of datatype {INPUTS[tensor.name][0]}", repr(tensor.datatype)[:80], remedy)
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 0:
        raise SoukError(f"input {tensor.name} of shape [n]", str(shape)[:80], "One row a request.")
    if shape[0] > MAX_INSTANCES:
        received, remedy = f"{str(shape[0])[:20]}", "Send several calls."
        raise SoukError(f"input {tensor.name} of at most {MAX_INSTANCES} rows", received, remedy)
    most = math.prod(shape)
    values = _flat(tensor.data, most + 1) if tensor.data else _raw(tensor)
    if len(values) != most:
        received = f"{len(values)}" if len(values) <= most else "more"
        remedy = "The shape [n] says how many values data hold, one a request."
        raise SoukError(f"input {tensor.name} of {most} values, as its shape says", received, remedy)
    return [_cell(tensor.name, row, value) for row, value in enumerate(values)]


def _raw(tensor: InferInput) -> list[Any]:
    try:
        return list(tensor.as_numpy().ravel().tolist())
    except Exception as error:  # whatever the codec trips over, it was the tensor's bytes
        received = f"bytes that do not decode ({type(error).__name__})"
        raise SoukError(f"input {tensor.name} of {tensor.datatype} values", received) from error


def _flat(data: Any, most: int) -> list[Any]:
    """The first values of a tensor, at most so many."""
    inner = (each for value in data for each in (value if isinstance(value, list) else [value]))
    return list(islice(inner, most))


def _cell(name: str, row: int, value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise SoukError(f"input {name}[{row}] in UTF-8", "other bytes") from error
    if name not in JSON_INPUTS:
        return None if value == "" else value
    if not isinstance(value, str):
        raise SoukError(f"input {name}[{row}] to be a JSON text", repr(value)[:80])
    try:
        return orjson.loads(value) if value.strip() else None  # as V1: the impression log writes what is read so
    except orjson.JSONDecodeError as error:
        raise SoukError(f"input {name}[{row}] to be a JSON text", repr(value[:80]), f"{error}") from error


def _check_outputs(request: InferRequest) -> None:
    for output in request.request_outputs or ():
        if output.name not in OUTPUTS:
            raise unknown("an output", str(output.name)[:80], OUTPUTS)
        if not isinstance(output.parameters or {}, dict):
            raise SoukError(f"the parameters of output {output.name} to be an object", repr(output.parameters)[:80])
    if not request.from_grpc and not isinstance(request.parameters or {}, dict):
        raise SoukError("parameters to be an object", repr(request.parameters)[:80])
