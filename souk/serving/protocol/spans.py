"""Spans of OpenTelemetry: one for each call, and below it one for each stage that its requests passed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode

import souk
from souk.serving.protocol.tracing import Status
from souk.serving.request import Request
from souk.stages import Stages

OUTWARD = {"users": "feature store", "index": "index"}  # stages that may leave the process
FAILED = ("5", "INTERNAL", "UNKNOWN", "UNAVAILABLE")
_own: ContextVar[list[str] | None] = ContextVar("requests of this call", default=None)


def sent(exporter: str, environment: Mapping[str, str]) -> TracerProvider:
    """What sends spans: `otlp` (http/protobuf) to the collector that the environment names, or `console`.

    Sampling, limits and batches are OpenTelemetry's own variables (OTEL_TRACES_SAMPLER, OTEL_BSP_*).
    """
    name = environment.get("OTEL_SERVICE_NAME") or "souk"
    resource = Resource.create({SERVICE_NAME: name, SERVICE_VERSION: souk.__version__})
    provider = TracerProvider(resource=resource)
    out: SpanExporter = ConsoleSpanExporter()
    if exporter == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        out = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(out))
    return provider


class _Status:
    def __init__(self, span: Span) -> None:
        self._span = span

    def set(self, code: str) -> None:
        """As `souk.serving.protocol.tracing.Status`."""
        self._span.set_attribute("http.response.status_code" if code.isdigit() else "rpc.grpc.status", code)
        if code.startswith(FAILED):
            self._span.set_status(StatusCode.ERROR)


class Spans:
    """See `souk.serving.protocol.tracing.Tracing`. Values of requests are in no attribute.

    Args:
        provider: of tracers.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("souk", souk.__version__)
        self._parents: dict[str, tuple[Span, Context]] = {}  # by request id, of calls that are being answered

    def call(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Status]:
        """See `Tracing`."""
        return self._call(name, headers)

    @contextmanager
    def _call(self, name: str, headers: Mapping[str, str]) -> Iterator[Status]:
        parent = propagate.extract(dict(headers))
        own: list[str] = []
        token = _own.set(own)
        try:
            # What an error says may quote the request; its code is set, and the log has its type.
            silent = {"record_exception": False, "set_status_on_exception": False}
            with self._tracer.start_as_current_span(name, parent, SpanKind.SERVER, **silent) as span:
                yield _Status(span)
        finally:
            _own.reset(token)
            for request_id in own:
                self._parents.pop(request_id, None)

    def remember(self, requests: Sequence[Request]) -> None:
        """See `Tracing`."""
        span, own = trace.get_current_span(), _own.get()
        if own is None or not span.is_recording():
            return
        context = trace.set_span_in_context(span)
        span.set_attribute("souk.requests", len(requests))
        for request in requests:
            self._parents[request.request_id] = span, context
            own.append(request.request_id)

    def batch(self, requests: Sequence[Request], stages: Stages) -> None:
        """See `Tracing`."""
        parents = {id(found[0]): found for r in requests if (found := self._parents.get(r.request_id))}
        epoch = time.time_ns() - time.perf_counter_ns()
        for _, context in parents.values():
            for name, seconds in stages.seconds.items():
                start = epoch + int(stages.began[name] * 1e9)
                kind = SpanKind.CLIENT if name in OUTWARD else SpanKind.INTERNAL
                attributes = {"souk.batch": len(requests)}
                span = self._tracer.start_span(name, context, kind, attributes, start_time=start)
                span.end(start + int(seconds * 1e9))

    def trace_id(self, request: Request) -> str:
        """See `Tracing`."""
        found = self._parents.get(request.request_id)
        return trace.format_trace_id(found[0].get_span_context().trace_id) if found else ""

    def close(self) -> None:
        """See `Tracing`."""
        self._provider.shutdown()
