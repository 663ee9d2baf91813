"""KServe's REST server on a socket of our own, with every call counted and every refusal a 400 that says why."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InferenceError, InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from souk.errors import SoukError, Unanswered
from souk.own_pages import OwnPages
from souk.serving import logs
from souk.serving.line import Overloaded
from souk.serving.metrics import ServingMetrics
from souk.serving.model import NAME
from souk.serving.protocol.direct import GONE, DirectPredict
from souk.serving.protocol.drain import Drain, Draining
from souk.serving.protocol.few_tensors import FewTensors
from souk.serving.protocol.refusals import MAX_BODY_BYTES, MAX_REQUEST_BYTES, again_after, refusal, too_large
from souk.serving.protocol.token import TokenCheck, Tokens
from souk.serving.protocol.tracing import Tracing
from souk.serving.worker_metrics import OfAllWorkers
from souk.serving.workers import Worker
from souk.values import SHOWN

logger = logging.getLogger(__name__)
CALLS = {
    ":predict": "v1",
    "/infer": "v2",
    ":explain": "explain",
    "items:upsert": "items",
    "/v1/events": "events",
}  # the end of a path, and what metrics call it
ROWS = ("items", "events")  # whose bodies may be larger


class RestServer(RESTServer):
    """The REST half of the server.

    Args:
        listening: the bound socket.
        dataplane: where requests go.
        models: what clients may do to models.
        metrics: where calls are counted.
        tracing: of calls.
        grace_seconds: how long calls in flight may take at the end.
        more: adds routes that are no model's.
        drain: how it ends.
        tokens: what callers have to send; None for nothing.
        worker: which of several servers of the socket this is; None for one alone.
    """

    def __init__(
        self,
        listening: socket.socket,
        dataplane: DataPlane,
        models: ModelRepositoryExtension,
        metrics: ServingMetrics,
        tracing: Tracing,
        grace_seconds: int,
        more: Callable[[FastAPI], None],
        drain: Drain,
        tokens: Tokens | None = None,
        worker: Worker | None = None,
    ) -> None:
        super().__init__(
            "kserve.model_server:app", dataplane, models, listening.getsockname()[1], grace_period=grace_seconds
        )
        logging.getLogger("uvicorn.access").handlers.clear()  # a line for each call; /metrics counts them
        self._socket = listening
        self._metrics = metrics
        self._tracing = tracing
        self._more, self._tokens, self._drain, self._worker = more, tokens, drain, worker

    def _register_endpoints(self, app: FastAPI) -> None:
        super()._register_endpoints(app)
        self._more(app)

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(DirectPredict, model=self.dataplane.model_registry.get_model, refused=REFUSED)
        app.add_middleware(FewTensors)
        if self._worker is not None:
            app.add_middleware(OfAllWorkers, folder=self._worker.folder, count=self._worker.count)
        if self._tokens is not None:
            app.add_middleware(TokenCheck, tokens=self._tokens)
        else:
            app.add_middleware(OwnPages)
        app.add_middleware(Failing)
        # Around it: those without a token count too.
        app.add_middleware(Calls, metrics=self._metrics, tracing=self._tracing)
        app.add_middleware(Draining, drain=self._drain)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        super()._add_exception_handlers(app)
        for kind, answer in REFUSED.items():
            app.add_exception_handler(kind, answer)
        app.add_exception_handler(RequestValidationError, _refuse_form)
        app.add_exception_handler(NotImplementedError, _not_found)
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(ModelNotFound, _not_found)
        app.add_exception_handler(Exception, _failed)  # of what stands before Failing

    async def start(self) -> None:
        """Serves until it is stopped."""
        self.create_application()
        self._server.handle_exit = self._drain.handler(self._server.handle_exit)
        await self._server.serve(sockets=[self._socket])

    async def listening(self, task: asyncio.Task[None]) -> None:
        """Waits until the server answers, or has failed."""
        while not self._server.started and not task.done():
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Takes no more calls, and ends when those in flight are answered."""
        self._server.should_exit = True


class Failing:
    """ASGI middleware: an error of the code is a 500 here.

    Starlette would raise it again behind its answer, and uvicorn log it a second time.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Passes the call on."""
        begun = False

        async def noted(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await (await _failed(None, error))(scope, receive, send)


class Calls:
    """ASGI middleware: counts and traces calls for slates, explanations and upserts, and refuses bodies that are too
    large. Of other calls it counts those without a token."""

    def __init__(self, app: Any, metrics: ServingMetrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Passes the call on."""
        protocol = next((CALLS[end] for end in CALLS if scope.get("path", "").endswith(end)), "")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not protocol:
            await self._app(scope, receive, self._noting(send))
            return
        begin, size, status = time.perf_counter(), 0, 500
        most = MAX_BODY_BYTES if protocol in ROWS else MAX_REQUEST_BYTES

        async def limited() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise too_large(most)
            return message

        async def watched(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self._tracing.call(f"{scope['method']} {protocol}", _headers(scope)) as span:
            try:
                await self._app(scope, limited, watched)
            finally:
                seconds = time.perf_counter() - begin
                span.set(str(status))
                self._metrics.observe(protocol, str(status), seconds)
                logs.answered(protocol, str(status), seconds)

    def _noting(self, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def noted(message: Any) -> None:
            if message.get("status") == 401:
                self._metrics.refuse("401")
            await send(message)

        return noted


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(status_code=400, content={"error": refusal(error)})


async def _refuse_form(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": "another form"}
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "InferenceRequest"))
    text = f"Expected a V2 inference request. Received: {where or 'body'}: {first['msg']}. See docs/serving.md."
    return JSONResponse(status_code=400, content={"error": text})


async def _gone(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(status_code=400, content={"error": GONE})  # nobody reads it; it is counted


async def _overloaded(_: Request, error: Exception) -> JSONResponse:
    seconds = error.seconds if isinstance(error, Overloaded) else 1.0
    return JSONResponse(status_code=429, content={"error": str(error)}, headers=again_after(seconds))


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(status_code=503, content={"error": str(error)}, headers={"Retry-After": "1"})


REFUSED = {
    InvalidInput: _refuse,
    InferenceError: _refuse,
    ClientDisconnect: _gone,
    Overloaded: _overloaded,
    Unanswered: _unavailable,
}


async def _not_found(request: Request, _: Exception) -> JSONResponse:
    if request.method == "GET" and _is_call(request):  # KServe takes souk:predict for the name of a model
        return _not_posted(request)
    received = f"{request.method} {request.url.path[:SHOWN]}"
    text = SoukError(f"a path of this server, whose model is {NAME}", received, "GET /openapi.json describes them.")
    return JSONResponse(status_code=404, content={"error": str(text)})


def _is_call(request: Request) -> bool:
    return request.url.path.endswith(tuple(CALLS))


def _not_posted(request: Request) -> JSONResponse:
    text = SoukError("a POST with a JSON body", f"a {request.method}", "See docs/serving.md.")
    return JSONResponse(status_code=405, content={"error": str(text)}, headers={"Allow": "POST"})


def _another_method(request: Request, error: Exception) -> JSONResponse:
    headers = getattr(error, "headers", None) or {}
    received = f"{request.method} {request.url.path[:SHOWN]}"
    text = SoukError(headers.get("Allow", "another method"), received, "GET /openapi.json describes the paths.")
    return JSONResponse(status_code=405, content={"error": str(text)}, headers=headers)


async def _failed(_: Request | None, error: Exception) -> JSONResponse:
    """What went wrong is the log's to tell: the text of an error may quote anything."""
    number = logs.request_id() or uuid.uuid4().hex
    logger.error("call %s failed", number, exc_info=error)
    text = SoukError("an answer", f"an error of the server, in its log as {number}", "Tell those who run it.")
    return JSONResponse(status_code=500, content={"error": str(text)})


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return await _not_found(request, error)
    if status == 405:
        return _not_posted(request) if _is_call(request) else _another_method(request, error)
    text = str(error.detail) if isinstance(error, HTTPException) else "Internal error"
    if status == 400:  # FastAPI's, for any body that it cannot read
        text = f"Expected a JSON body of at most {MAX_REQUEST_BYTES} bytes. Received: {text}. See docs/serving.md."
    return JSONResponse(status_code=status, content={"error": text})
