"""Traces of calls, where the environment asks for them; where it does not, nothing of OpenTelemetry is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from souk.errors import SoukError, of_a_clone
from souk.serving.request import Request
from souk.stages import Stages

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTERS = ("otlp", "console")


class Tracing(Protocol):
    """What becomes of calls in a trace."""

    def call(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Status]:
        """A span of the server around one call, the child of the one that its headers name (W3C traceparent)."""

    def remember(self, requests: Sequence[Request]) -> None:
        """These requests are of the call of this task."""

    def batch(self, requests: Sequence[Request], stages: Stages) -> None:
        """A span for each stage that these requests passed together, in the trace of each call."""

    def trace_id(self, request: Request) -> str:
        """Of a request that was remembered, 32 hex digits; "" where it is in no trace."""

    def close(self) -> None:
        """Sends what waits."""


class Status(Protocol):
    """How a call ended."""

    def set(self, code: str) -> None:
        """The HTTP status or the name of gRPC's."""


class _NoStatus:
    def set(self, code: str) -> None:
        pass


class Untraced:
    """No traces."""

    def call(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Status]:
        """Nothing."""
        return nullcontext(_NoStatus())

    def remember(self, requests: Sequence[Request]) -> None:
        """Nothing."""

    def batch(self, requests: Sequence[Request], stages: Stages) -> None:
        """Nothing."""

    def trace_id(self, request: Request) -> str:
        """None."""
        return ""

    def close(self) -> None:
        """Nothing."""


def asked_for(environment: Mapping[str, str]) -> str:
    """How traces are sent by OpenTelemetry's standard variables: `otlp`, `console`, or "" for no traces.

    Raises:
        SoukError: an exporter that is not known.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return ""
    if not exporter:
        return "otlp" if any(environment.get(name) for name in ENDPOINTS) else ""
    if exporter not in EXPORTERS:
        raise SoukError(
            f"OTEL_TRACES_EXPORTER to be one of none, {', '.join(EXPORTERS)}", exporter, "See docs/serving.md."
        )
    return exporter


def opened(environment: Mapping[str, str]) -> Tracing:
    """What the environment asks for.

    Raises:
        SoukError: it asks for traces, and the extra `telemetry` is not installed.
    """
    exporter = asked_for(environment)
    if not exporter:
        return Untraced()
    try:
        from souk.serving.protocol.spans import Spans, sent
    except ImportError as error:
        remedy = f"{of_a_clone('serve', 'telemetry')}, or set OTEL_SDK_DISABLED=true."
        raise SoukError("OpenTelemetry, since the environment asks for traces", str(error), remedy) from error
    return Spans(sent(exporter, environment))
