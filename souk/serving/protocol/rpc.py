"""KServe's gRPC server on an address of our choice, with every call counted and every refusal an INVALID_ARGUMENT."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from souk.errors import SoukError
from souk.listening import address
from souk.serving import logs
from souk.serving.line import Overloaded
from souk.serving.metrics import ServingMetrics
from souk.serving.model import waits_until
from souk.serving.protocol.few_tensors import LARGE, check_message
from souk.serving.protocol.refusals import MAX_BODY_BYTES, MAX_REQUEST_BYTES, again_after, refusal, too_large
from souk.serving.protocol.token import TokenInterceptor, Tokens
from souk.serving.protocol.tracing import Status, Tracing

SHARE = 0.9  # of what is left until the caller's deadline; the rest is the answer's way back

VERSIONS = str(SoukError("a model without a version", "a version", "Leave model_version out: one release answers."))


class RpcServer(GRPCServer):
    """The gRPC half of the server.

    Args:
        host: the address.
        port: 0 for any free one.
        dataplane: where requests go.
        models: what clients may do to models.
        metrics: where calls are counted.
        tracing: of calls.
        grace_seconds: how long calls in flight may take at the end.
        tokens: what callers have to send; None for nothing.
        shared: whether other processes listen on the same port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        dataplane: DataPlane,
        models: ModelRepositoryExtension,
        metrics: ServingMetrics,
        tracing: Tracing,
        grace_seconds: int,
        tokens: Tokens | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__(port, dataplane, models, kwargs={}, grace_period=grace_seconds)
        self._host, self._shared = host, shared
        self._metrics = metrics
        self._tracing = tracing
        self._checks = () if tokens is None else (TokenInterceptor(tokens),)

    async def listen(self) -> int:
        """Starts answering; the port."""
        self._server = grpc.aio.server(
            ThreadPoolExecutor(max_workers=1),
            interceptors=(CountedCalls(self._metrics, self._tracing), *self._checks, RefusingInterceptor()),
            options=[("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", int(self._shared))],
        )
        servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
        try:
            port = self._server.add_insecure_port(where := address(self._host, self._port))
        except RuntimeError as error:
            raise SoukError(
                f"{where} to be free to listen on", "it cannot be bound", "Choose another --grpc-port."
            ) from error
        await self._server.start()
        return int(port)


class CountedCalls(grpc.aio.ServerInterceptor):
    """Counts and traces inference calls, and of others counts those without a token; bytes that are no message of the
    protocol, or a message of more than it has here, are refused."""

    def __init__(self, metrics: ServingMetrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the handler of one call."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        counted = details.method.endswith("/ModelInfer")

        async def traced(request: Any, context: Any) -> Any:
            if not counted:
                return await self._noting(context, answer(request, context, None))
            headers = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
            with self._tracing.call("grpc ModelInfer", headers) as span:
                return await answer(request, context, span)

        async def answer(request: Any, context: Any, span: Status | None) -> Any:
            begin, code = time.perf_counter(), "INTERNAL"
            try:
                await _admit(request, context)
                result = await handler.unary_unary(request, context)
                code = "OK"
                return result
            except asyncio.CancelledError:  # by the client, or at the end of the time that it gave
                code = "CANCELLED"
                raise
            finally:
                if span is not None:
                    if code != "OK" and context.code() is not None:
                        code = getattr(context.code(), "name", str(context.code()))
                    seconds = time.perf_counter() - begin
                    span.set(code)
                    self._metrics.observe("grpc", code, seconds)
                    logs.answered("grpc", code, seconds)

        return grpc.unary_unary_rpc_method_handler(
            _letting_go(traced),
            request_deserializer=partial(_message, handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    async def _noting(self, context: Any, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        finally:
            if context.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._metrics.refuse("UNAUTHENTICATED")


async def _admit(request: Any, context: Any) -> None:
    """Refuses what is no message, or is for a version; the model is told until when the caller waits."""
    if (left := context.time_remaining()) is not None:
        waits_until.set(time.monotonic() + SHARE * left)
    if isinstance(request, Exception):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(request))
    if isinstance(request, pb.ModelInferRequest) and request.model_version:
        await context.abort(grpc.StatusCode.NOT_FOUND, VERSIONS)


def _letting_go(answer: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    """The same handler. A call that it aborts keeps the error, which therefore may hold nothing that holds the call."""

    async def told(request: Any, context: Any) -> Any:
        try:
            return await answer(request, context)
        except grpc.aio.AbortError as error:
            del request, context
            error.__context__ = None
            raise error.with_traceback(None) from None

    return told


def _message(deserialize: Callable[[bytes], Any], data: bytes) -> Any:
    """The message, or the error with which its call is refused: what gRPC itself refuses is told as if it were shed."""
    if len(data) > MAX_REQUEST_BYTES:
        return too_large(MAX_REQUEST_BYTES)
    try:
        message = deserialize(data)
        if isinstance(message, pb.ModelInferRequest) and len(data) >= LARGE:  # bytes, where there is no token
            check_message(message)
    except SoukError as error:
        return error
    except Exception:  # protobuf has several
        return InvalidInput("Expected a message of the V2 protocol.")
    return message


class RefusingInterceptor(ExceptionToStatusInterceptor):
    """Errors of requests become their status, without a line in the log; others are logged by KServe."""

    async def handle_exception(self, ex: Exception, request_or_iterator: Any, context: Any, method_name: str) -> None:
        """Aborts the call."""
        if isinstance(ex, InvalidInput | InferenceError):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal(ex))
        if isinstance(ex, Overloaded):
            pushback = (
                "grpc-retry-pushback-ms",
                again_after(ex.seconds)["Retry-After-Ms"],
            )  # gRPC's own retries heed it
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(ex), (pushback,))
        if isinstance(ex, ModelNotFound):
            await context.abort(grpc.StatusCode.NOT_FOUND, str(ex))
        if isinstance(ex, ModelNotReady):
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(ex))
        await super().handle_exception(ex, request_or_iterator, context, method_name)
