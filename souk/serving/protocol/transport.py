"""The two servers of one process, from the first call to the last."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

import uvloop
from fastapi import FastAPI
from kserve import Model, ModelServer

from souk.serving.metrics import ServingMetrics
from souk.serving.protocol.drain import Drain
from souk.serving.protocol.refusals import FixedModels, StrictDataPlane
from souk.serving.protocol.rest import RestServer
from souk.serving.protocol.rpc import RpcServer
from souk.serving.protocol.token import Tokens
from souk.serving.protocol.tracing import Tracing
from souk.serving.workers import Worker


class RecommenderServer(ModelServer):
    """One process, one model, REST and gRPC.

    Args:
        listening: the bound HTTP socket.
        host: the address for gRPC.
        grpc_port: its port; 0 for any free one.
        metrics: where calls are counted.
        tracing: of calls.
        grace_seconds: how long calls in flight may take after SIGTERM.
        ready: is called with the gRPC port when both servers answer.
        more: adds routes to the HTTP server.
        drain: how it ends.
        tokens: what callers have to send; None for nothing.
        worker: which of several servers of the same ports this is; None for one alone.
    """

    def __init__(
        self,
        listening: socket.socket,
        host: str,
        grpc_port: int,
        metrics: ServingMetrics,
        tracing: Tracing,
        grace_seconds: int,
        ready: Callable[[int], None],
        more: Callable[[FastAPI], None],
        drain: Drain,
        tokens: Tokens | None = None,
        worker: Worker | None = None,
    ) -> None:
        super().__init__(
            http_port=listening.getsockname()[1],
            grpc_port=grpc_port,
            workers=1,
            enable_latency_logging=False,
            grace_period=grace_seconds,
        )
        self.dataplane = StrictDataPlane(self.registered_models, drain)
        self.model_repository_extension = FixedModels(self.registered_models)
        self._rest = RestServer(
            listening,
            self.dataplane,
            self.model_repository_extension,
            metrics,
            tracing,
            grace_seconds,
            more,
            drain,
            tokens,
            worker,
        )
        port = worker.grpc_port if worker else grpc_port
        data, shared = (self.dataplane, self.model_repository_extension), worker is not None
        self._grpc = RpcServer(host, port, *data, metrics, tracing, grace_seconds, tokens, shared)
        self._ready, self._worker = ready, worker

    def start(self, models: list[Model]) -> None:
        """Serves until SIGTERM or SIGINT; calls in flight are answered before it returns."""
        self._register_and_check_atleast_one_model_is_ready(models)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._rest.stop())  # uvicorn's own handler, while it runs, does the same
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        port = await self._grpc.listen()
        rest = asyncio.create_task(self._rest.start())
        await self._rest.listening(rest)
        self._ready(port)
        turning = asyncio.create_task(self._worker.turn()) if self._worker else None
        try:
            await rest
        finally:
            await self._grpc.stop()
            if turning:
                turning.cancel()
