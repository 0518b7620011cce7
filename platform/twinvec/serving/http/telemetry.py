"""Traces and figures for OpenTelemetry, which FastAPI itself records; off by default.

Where they go, the environment says, as for every service: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`. Providers
that the process has set up already are used as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace

from twinvec.serving.http.guard import OPEN

TRACER = trace.get_tracer("twinvec")
OFF = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)


def telemetry(*, enabled: bool) -> TelemetryConfig:
    """Return what FastAPI records: a span and a duration for each request, but those of balancers.

    Logs are off: they hold what callers sent. The log of requests has its own lines.
    """
    if not enabled:
        return OFF
    return TelemetryConfig(
        tracing=True,
        metrics=True,
        logs=False,
        operation_spans=False,
        auto_configure=True,
        exclude=lambda scope: scope["path"] in OPEN,
    )


def annotate(state: Mapping[str, Any]) -> None:
    """Add to the span of a request what answers it; the span ends with the answer.

    Args:
        state: State of the request, as the guard and the routers fill it in.
    """
    span = trace.get_current_span()
    if span.is_recording():
        for name in ("request_id", "release", "arm", "caller"):
            if state.get(name) is not None:
                span.set_attribute(f"twinvec.{name}", state[name])
