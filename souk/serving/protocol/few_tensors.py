"""V2 bodies of more than the protocol here has are refused before an object is made of each part.

FastAPI makes them of the JSON form, and KServe of the binary one and of gRPC's messages, all on the event loop. A body
of 1 MiB would hold it for a tenth of a second to hours: sizes of the binary form may be negative to KServe, so that its
tensors overlap.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from typing import Any

import orjson
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InvalidInput
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from starlette.responses import JSONResponse

from souk.errors import SoukError
from souk.serving.fields import TOO_DEEP
from souk.serving.protocol.direct import Receive, again, whole
from souk.serving.protocol.refusals import refusal
from souk.serving.protocol.tensors import INPUTS, OUTPUTS
from souk.serving.request import MAX_INSTANCES

MOST = {"inputs": len(INPUTS), "outputs": len(OUTPUTS)}
MOST_PARAMETERS = 32  # of the request, an input or an output
MOST_DIMENSIONS = 8
LONGEST = 80  # characters of a name, or a datatype
WIDEST = 8  # bytes of a number
LARGE = 4 << 10  # bytes: JSON that is smaller holds little
SIZE = "binary_data_size"
HEADER = INFERENCE_CONTENT_LENGTH_HEADER.encode()


class FewTensors:
    """ASGI middleware before KServe's app.

    Args:
        app: what answers the calls.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Callable[[Any], Any]) -> None:
        """Passes the call on, or refuses it."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/infer"):
            await self._app(scope, receive, send)
            return
        try:
            body = await whole(receive)
            check(body, [value for name, value in scope["headers"] if name == HEADER])
        except (InvalidInput, SoukError) as error:
            await JSONResponse({"error": refusal(error)}, 400)(scope, receive, send)
            return
        except RecursionError:
            await JSONResponse({"error": TOO_DEEP}, 400)(scope, receive, send)
            return
        await self._app(scope, again(body, receive), send)


def check(body: bytes, heads: Sequence[bytes] = ()) -> None:
    """Counts what a body holds; what has another form is another's to refuse.

    Args:
        body: JSON, or JSON and the bytes of tensors behind it.
        heads: what headers say of how long the JSON is. Which one is heeded, if any, depends on the content type.

    Raises:
        SoukError: it is more than the protocol here has.
    """
    if not heads and len(body) < LARGE:
        return
    _check_json(_object(body))
    for head in heads:
        with contextlib.suppress(ValueError):
            _check_binary(body, int(head))


def check_message(message: pb.ModelInferRequest) -> None:
    """The same of gRPC's form.

    Raises:
        SoukError: it is more than the protocol here has.
    """
    _few(message.parameters, "parameters", MOST_PARAMETERS, "the request")
    for name, most in {**MOST, "raw_input_contents": len(INPUTS)}.items():
        _few_tensors(getattr(message, name), name, most)
    for tensor in (*message.inputs, *message.outputs):
        is_input = isinstance(tensor, pb.ModelInferRequest.InferInputTensor)
        _check_words(tensor.name, tensor.datatype if is_input else "")
        where = f"{'input' if is_input else 'output'} {tensor.name}"
        _few(tensor.parameters, "parameters", MOST_PARAMETERS, where)
        if is_input:
            _few(tensor.shape, "shape", MOST_DIMENSIONS, where)
            _check_values(sum(len(values) for _, values in tensor.contents.ListFields()), where)
    for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=False):  # KServe refuses another number
        _check_values(_least_values(tensor.datatype, raw, 0, len(raw)), f"input {tensor.name}")


def _check_binary(body: bytes, length: int) -> None:
    if length < 0:
        raise SoukError(f"{INFERENCE_CONTENT_LENGTH_HEADER} from 0", f"{length}", "Send the JSON's number of bytes.")
    payload, at = _object(body[:length]), length
    _check_json(payload)
    for tensor in _objects(payload, "inputs"):
        parameters = tensor.get("parameters")
        if tensor.get("data") is None and isinstance(parameters, dict) and SIZE in parameters:
            at = _check_raw(tensor, body, at, parameters[SIZE])


def _object(text: bytes) -> dict[str, Any]:
    try:
        payload = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _objects(payload: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    tensors = payload.get(name)
    return (each for each in tensors if isinstance(each, dict)) if isinstance(tensors, list) else iter(())


def _check_json(payload: dict[str, Any]) -> None:
    _few(payload.get("parameters"), "parameters", MOST_PARAMETERS, "the request")
    for name, most in MOST.items():
        if isinstance(payload.get(name), list):
            _few_tensors(payload[name], name, most)
        for tensor in _objects(payload, name):
            _check_words(tensor.get("name"), tensor.get("datatype"))
            where = f"{name[:-1]} {str(tensor.get('name'))[:80]}"
            _few(tensor.get("parameters"), "parameters", MOST_PARAMETERS, where)
            _few(tensor.get("shape"), "shape", MOST_DIMENSIONS, where)
            data = tensor.get("data")
            if isinstance(data, list):
                _check_values(sum(len(each) if isinstance(each, list) else 1 for each in data), where)


def _few_tensors(tensors: Sized, name: str, most: int) -> None:
    if len(tensors) > most:
        raise SoukError(f"at most {most} {name}", f"{len(tensors)}", "Send one tensor a field.")


def _few(parts: object, name: str, most: int, where: str) -> None:
    if isinstance(parts, Sized) and len(parts) > most:
        raise SoukError(f"at most {most} {name} of {where}", f"{len(parts)}", "See docs/serving.md.")


def _check_words(*words: object) -> None:
    for word in words:
        if isinstance(word, str) and len(word) > LONGEST:
            expected = f"names and datatypes of tensors of at most {LONGEST} characters"
            raise SoukError(expected, f"one of {len(word)}", "See docs/serving.md.")


def _check_values(count: int, where: str) -> None:
    if count > MAX_INSTANCES:
        raise SoukError(f"{where} of at most {MAX_INSTANCES} values", "more", "Send several calls.")


def _check_raw(tensor: dict[str, Any], body: bytes, at: int, size: Any) -> int:
    """Where the bytes of a tensor end, which begin `at`."""
    where = f"input {str(tensor.get('name'))[:80]}"
    if type(size) is not int or size < 0:
        raise SoukError(f"{where}: {SIZE} to be a whole number from 0", repr(size)[:80], "Send its bytes' number.")
    _check_values(_least_values(tensor.get("datatype"), body, at, at + size), where)
    return at + size


def _least_values(datatype: object, body: bytes, at: int, end: int) -> int:
    """How many values the bytes from `at` to `end` hold at least; of texts no more are counted than are too many."""
    if datatype != "BYTES":
        return (end - at) // WIDEST
    count = 0
    while at < min(end, len(body)) and count <= MAX_INSTANCES:  # each text behind its length
        at += 4 + int.from_bytes(body[at : at + 4], "little")
        count += 1
    return count
