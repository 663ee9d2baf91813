"""KServe's REST and gRPC servers, with the address chosen, every call counted, and no bad request taken for our fault.

What KServe 0.21 lacks, and where it stands here: it binds every interface (`host`); it answers 422, 500 or 501 to
several malformed requests (`StrictDataPlane`, the handlers, the interceptors); it lets any client unload the model
(`FixedModels`); it takes bodies of any size, and logs what was in them (`Calls`, the handlers).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve import Model, ModelServer
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from souk.errors import SoukError
from souk.serving.metrics import ServingMetrics

MAX_BODY_BYTES = 4 << 20
CALLS = (":predict", "/infer")


class RecommenderServer(ModelServer):
    """One process, one model, REST and gRPC.

    Args:
        listening: the bound HTTP socket.
        host: the address for gRPC.
        grpc_port: its port; 0 for any free one.
        metrics: where calls are counted.
        grace_seconds: how long calls in flight may take after SIGTERM.
        ready: is called with the gRPC port when both servers answer.
    """

    def __init__(
        self,
        listening: socket.socket,
        host: str,
        grpc_port: int,
        metrics: ServingMetrics,
        grace_seconds: int,
        ready: Callable[[int], None],
    ) -> None:
        super().__init__(
            http_port=listening.getsockname()[1],
            grpc_port=grpc_port,
            workers=1,
            enable_latency_logging=False,
            grace_period=grace_seconds,
        )
        self.dataplane = StrictDataPlane(self.registered_models)
        self.model_repository_extension = FixedModels(self.registered_models)
        self._rest = _Rest(listening, self.dataplane, self.model_repository_extension, metrics, grace_seconds)
        self._grpc = _Grpc(host, grpc_port, self.dataplane, self.model_repository_extension, metrics, grace_seconds)
        self._ready = ready

    def start(self, models: list[Model]) -> None:
        """Serves until SIGTERM or SIGINT; calls in flight are answered before it returns."""
        self._register_and_check_atleast_one_model_is_ready(models)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._rest.stop())  # uvicorn's own handler, while it runs, does the same
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        port = await self._grpc.listen()
        rest = asyncio.create_task(self._rest.start())
        await self._rest.listening(rest)
        self._ready(port)
        try:
            await rest
        finally:
            await self._grpc.stop()


class StrictDataPlane(DataPlane):
    """What KServe cannot decode, or cannot encode as the client asked, is the client's mistake."""

    def decode(self, body: Any, headers: Any, *args: Any, **kwargs: Any) -> Any:
        """As KServe's; bytes without a length header are all JSON, whatever the content type."""
        with _refusing("a JSON body, or the binary form that the headers name"):
            if isinstance(body, bytes) and INFERENCE_CONTENT_LENGTH_HEADER not in headers:
                headers = {**headers, INFERENCE_CONTENT_LENGTH_HEADER: str(len(body))}
            return super().decode(body, headers, *args, **kwargs)

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        """As KServe's, with one error."""
        with _refusing("headers and outputs that name a form to answer in"):
            return super().encode(*args, **kwargs)


class FixedModels(ModelRepositoryExtension):
    """The model is loaded at the start and stays."""

    async def load(self, model_name: str) -> None:
        """Refuses."""
        raise InvalidInput("Expected no call to load. Received: one. `souk deploy` moves releases.")

    async def unload(self, model_name: str) -> None:
        """Refuses."""
        raise InvalidInput("Expected no call to unload. Received: one. Stop the server with SIGTERM.")


class Calls:
    """ASGI middleware: counts calls for recommendations, and refuses bodies that are too large."""

    def __init__(self, app: Any, metrics: ServingMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Passes the call on."""
        if scope["type"] != "http" or not scope["path"].endswith(CALLS):
            await self._app(scope, receive, send)
            return
        begin, size, status = time.perf_counter(), 0, 500

        async def limited() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise InvalidInput(f"Expected a body of at most {MAX_BODY_BYTES} bytes. Received: more. Send less.")
            return message

        async def watched(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, limited, watched)
        finally:
            protocol = "v1" if scope["path"].endswith(CALLS[0]) else "v2"
            self._metrics.observe(protocol, str(status), time.perf_counter() - begin)


class _Rest(RESTServer):
    def __init__(
        self,
        listening: socket.socket,
        dataplane: DataPlane,
        models: ModelRepositoryExtension,
        metrics: ServingMetrics,
        grace_seconds: int,
    ) -> None:
        super().__init__(
            "kserve.model_server:app", dataplane, models, listening.getsockname()[1], grace_period=grace_seconds
        )
        logging.getLogger("uvicorn.access").handlers.clear()  # a line for each call; /metrics counts them
        self._socket = listening
        self._metrics = metrics

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(Calls, metrics=self._metrics)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        super()._add_exception_handlers(app)
        app.add_exception_handler(InvalidInput, _refuse)
        app.add_exception_handler(InferenceError, _refuse)
        app.add_exception_handler(RequestValidationError, _refuse_form)
        app.add_exception_handler(NotImplementedError, _not_found)
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(ModelNotFound, _not_found)

    async def start(self) -> None:
        self.create_application()
        await self._server.serve(sockets=[self._socket])

    async def listening(self, task: asyncio.Task[None]) -> None:
        """Waits until the server answers, or has failed."""
        while not self._server.started and not task.done():
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True


class _Grpc(GRPCServer):
    def __init__(
        self,
        host: str,
        port: int,
        dataplane: DataPlane,
        models: ModelRepositoryExtension,
        metrics: ServingMetrics,
        grace_seconds: int,
    ) -> None:
        super().__init__(port, dataplane, models, kwargs={}, grace_period=grace_seconds)
        self._host = host
        self._metrics = metrics

    async def listen(self) -> int:
        """Starts answering; the port."""
        self._server = grpc.aio.server(
            ThreadPoolExecutor(max_workers=1),
            interceptors=(CountedCalls(self._metrics), RefusingInterceptor()),
            options=[("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", 0)],
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        try:
            port = self._server.add_insecure_port(f"{self._host}:{self._port}")
        except RuntimeError as error:
            raise taken(self._host, self._port, "--grpc-port") from error
        await self._server.start()
        return int(port)


class CountedCalls(grpc.aio.ServerInterceptor):
    """Counts inference calls; bytes that are no message of the protocol are refused."""

    def __init__(self, metrics: ServingMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the handler of one call."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        counted = details.method.endswith("/ModelInfer")

        def deserialize(data: bytes) -> Any:
            try:
                return handler.request_deserializer(data)
            except Exception as error:  # protobuf has several
                return error

        async def answer(request: Any, context: Any) -> Any:
            begin, code = time.perf_counter(), "INTERNAL"
            try:
                if isinstance(request, Exception):
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Expected a message of the V2 protocol.")
                result = await handler.unary_unary(request, context)
                code = "OK"
                return result
            finally:
                if counted:
                    if code != "OK" and context.code() is not None:
                        code = getattr(context.code(), "name", str(context.code()))
                    self._metrics.observe("grpc", code, time.perf_counter() - begin)

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=deserialize, response_serializer=handler.response_serializer
        )


class RefusingInterceptor(ExceptionToStatusInterceptor):
    """Errors of requests become their status, without a line in the log; others are logged by KServe."""

    async def handle_exception(self, ex: Exception, request_or_iterator: Any, context: Any, method_name: str) -> None:
        """Aborts the call."""
        if isinstance(ex, InvalidInput | InferenceError):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal(ex))
        if isinstance(ex, ModelNotFound):
            await context.abort(grpc.StatusCode.NOT_FOUND, str(ex))
        if isinstance(ex, ModelNotReady):
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(ex))
        await super().handle_exception(ex, request_or_iterator, context, method_name)


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to an address that is free, port 0 for any.

    Raises:
        SoukError: the port is taken.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise taken(host, port, "--http-port") from error
    return bound


def taken(host: str, port: int, flag: str) -> SoukError:
    """The error for an address that cannot be bound."""
    return SoukError(f"{host}:{port} to be free to listen on", "it cannot be bound", f"Choose another with {flag}.")


@contextlib.contextmanager
def _refusing(expected: str) -> Any:
    try:
        yield
    except (ModelNotFound, ModelNotReady):
        raise
    except Exception as error:
        raise InvalidInput(refusal(error, expected)) from error


def refusal(error: Exception, expected: str = "a request in the form of the protocol") -> str:
    """The text for a request that is wrong: ours as it is, KServe's and others' in our form."""
    text = str(error)
    if text.startswith("Expected"):
        return text
    reason = text if isinstance(error, InvalidInput | InferenceError) else f"{type(error).__name__}: {text}"
    return f"Expected {expected}. Received: {reason[:200].rstrip('.')}. See docs/serving.md."


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(status_code=400, content={"error": refusal(error)})


async def _refuse_form(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "another form"}
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "InferenceRequest"))
    text = f"Expected a V2 inference request. Received: {where or 'body'}: {first['msg']}. See docs/serving.md."
    return JSONResponse(status_code=400, content={"error": text})


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(status_code=404, content={"error": str(error)})


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = str(error.detail) if isinstance(error, HTTPException) else "Internal error"
    if status == 400:  # FastAPI's, for any body that it cannot read
        text = f"Expected a JSON body of at most {MAX_BODY_BYTES} bytes. Received: {text}. See docs/serving.md."
    return JSONResponse(status_code=status, content={"error": text})
