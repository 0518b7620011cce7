"""Figures of the running API, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MutexValue, ValueClass

from twinvec.serving.http.guard import Served
from twinvec.serving.http.telemetry import TRACER

# As the library decided when it was imported. Feast sets the variable that it looks at later, at its own import.
SHARED = ValueClass is not MutexValue
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts what one process serves; with several, each writes to a file, and any of them adds all up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # As many as the library itself keeps.
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._requests = Counter(
            "twinvec_requests", "Requests.", ["route", "method", "code", "arm"], registry=self.registry
        )
        self._seconds = Histogram(
            "twinvec_request_seconds",
            "Seconds until an answer was sent.",
            ["route", "release"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._empty = Counter(
            "twinvec_empty_answers", "Answers without a hit.", ["route"], registry=self.registry
        )
        self._fallbacks = Counter(
            "twinvec_fallbacks", "Answers for unknown products.", ["kind"], registry=self.registry
        )
        self._encoder = Histogram(
            "twinvec_encoder_seconds",
            "Seconds to answer for a new product, encoding included.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._events = Counter(
            "twinvec_events", "Events of visitors.", ["kind", "fate"], registry=self.registry
        )
        self._live = Gauge(
            "twinvec_live_release",
            "1 for the release that answers.",
            ["release"],
            registry=self.registry,
            multiprocess_mode="livemax",
        )

    def served(self, request: Served) -> None:
        """Count a request."""
        route = request.route or "other"
        counter = self._child(self._requests, (route, request.method, str(request.status), request.arm or ""))
        counter.inc()
        self._child(self._seconds, (route, request.release or "")).observe(request.seconds)

    def answered(self, route: str, *, empty: bool, fallback: str | None = None) -> None:
        """Count an answer that is empty or stands in for another."""
        if fallback is not None:
            self._fallbacks.labels(fallback).inc()
        if empty:
            self._empty.labels(route).inc()

    def event(self, kind: str, fate: str, count: int = 1) -> None:
        """Count events that were kept or dropped."""
        self._events.labels(kind, fate).inc(count)

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Measure the block as the answer for a new product."""
        with self._encoder.time(), TRACER.start_as_current_span("new product"):
            yield

    def _child(self, metric: Any, labels: tuple[str, ...]) -> Any:
        """Return a metric with labels; the library takes as long to find it as to count."""
        key = metric, labels
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        return self._children[key]

    def text(self, live: str | None) -> bytes:
        """Return all figures."""
        self._live.clear()
        if live is not None:
            self._live.labels(live).set(1)
        if not SHARED:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)
