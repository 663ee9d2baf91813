"""`souk-drift serve`: one KServe model server, V1 over HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from kserve import ModelServer
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from prometheus_client import REGISTRY
from starlette.exceptions import HTTPException

from souk.drift.metrics import DriftMetrics
from souk.drift.model import DriftModel
from souk.drift.windows import Monitor
from souk.listening import address
from souk.own_pages import OwnPages

GRACE_SECONDS = 20
MAX_BODY_BYTES = 16 << 20


def serve(model: DriftModel, monitor: Monitor, listening: socket.socket, ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; then answers the calls in flight.

    Args:
        model: loaded.
        monitor: its own.
        listening: a bound socket.
        ready: is told the URL once the server answers.
    """
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # KServe's, once for each route
    metrics = DriftMetrics(monitor)
    REGISTRY.register(metrics)
    host, port = listening.getsockname()[:2]
    url = f"http://{address(host, port)}/v1/models/{model.name}:predict"
    server = ModelServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False)
    server.register_model(model)
    rest = _Rest(listening, _Jsonish(server.registered_models), _FixedModels(server.registered_models))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: rest.stop())
    try:
        asyncio.run(rest.run_until_stopped(lambda: ready(url)))
    finally:
        model.stop()
        REGISTRY.unregister(metrics)


class _Jsonish(DataPlane):
    """A body is JSON whatever content type a client or the payload logger gives it."""

    def decode(self, body: Any, headers: Any, *args: Any, **kwargs: Any) -> Any:
        """As KServe's, but that nothing which is no JSON is passed on."""
        if "ce-type" not in headers and not headers.get("content-type", "").startswith("application/cloudevents"):
            headers = {**headers, "content-type": "application/json"}
        try:
            return super().decode(body, headers, *args, **kwargs)
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(str(error)) from error


class _FixedModels(ModelRepositoryExtension):
    """The model is loaded at the start and stays: without it the server would be as ready as before."""

    async def load(self, model_name: str) -> None:
        """Refuses."""
        raise InvalidInput("Expected no call to load. Received: one. `souk-drift serve` loads its release itself.")

    async def unload(self, model_name: str) -> None:
        """Refuses."""
        raise InvalidInput("Expected no call to unload. Received: one. Stop the server with SIGTERM.")


class _Rest(RESTServer):
    """KServe's REST server on a socket of our own, with a bound on bodies and one form of errors."""

    def __init__(self, listening: socket.socket, dataplane: DataPlane, models: Any) -> None:
        port = listening.getsockname()[1]
        super().__init__("kserve.model_server:app", dataplane, models, port, grace_period=GRACE_SECONDS)
        logging.getLogger("uvicorn.access").handlers.clear()  # a line for each call; /metrics counts them
        self._listening = listening

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(_Limit)
        app.add_middleware(OwnPages)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        super()._add_exception_handlers(app)
        app.add_exception_handler(InvalidInput, _refuse)
        app.add_exception_handler(ModelNotFound, _not_found)
        app.add_exception_handler(HTTPException, _http_error)

    async def run_until_stopped(self, ready: Callable[[], None]) -> None:
        """Serves; `ready` is called when it answers."""
        self.create_application()
        task = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        while not self._server.started and not task.done():
            await asyncio.sleep(0.01)
        if not task.done():
            ready()
        await task

    def stop(self) -> None:
        """Takes no more calls, and ends when those in flight are answered."""
        self._server.should_exit = True


class _Limit:
    """ASGI middleware: refuses bodies that are too large before they are in memory."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        """Passes the call on."""
        size = 0

        async def limited() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise InvalidInput(f"Expected a body of at most {MAX_BODY_BYTES} bytes. Received: more. Send less.")
            return message

        await self._app(scope, limited if scope["type"] == "http" else receive, send)


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    text = str(error)
    if not text.startswith("Expected"):
        text = f"Expected a JSON body. Received: {text[:200].rstrip('.')}. See docs/drift.md."
    return JSONResponse(status_code=400, content={"error": text})


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(status_code=404, content={"error": str(error)})


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse(status_code=status, content={"error": str(getattr(error, "detail", "Internal error"))})
