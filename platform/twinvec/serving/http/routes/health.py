"""`/health`, `/ready`, `/release` and `/metrics`."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import Response

from twinvec.errors import StateError
from twinvec.serving.http.answers import HealthAnswer, ReadyAnswer, ReleaseAnswer
from twinvec.serving.http.metrics import CONTENT_TYPE
from twinvec.serving.http.service import Service

READY_SECONDS = 5.0


def health_router(service: Service) -> APIRouter:
    """Return the routes that operators and balancers ask."""
    router = APIRouter()
    recommender = service.answerer.recommender

    @router.get("/health", tags=["operation"])
    async def health() -> HealthAnswer:
        """Tell that the process answers, whatever Qdrant does: for a container's health check. Needs no key."""
        return HealthAnswer(status="ok")

    @router.get("/ready", tags=["operation"], response_model=ReadyAnswer)
    async def ready(request: Request) -> Response:
        """Tell that a live release answers and is loaded: for a load balancer. Needs no key."""
        live = asyncio.get_running_loop().run_in_executor(service.probes, recommender.live)
        try:
            release = await asyncio.wait_for(live, READY_SECONDS)
        except TimeoutError as error:
            raise StateError(f"Qdrant did not answer in {READY_SECONDS:g} s", "see that it runs") from error
        if not service.warmer.ready:
            raise StateError(f"{release.collection} is being loaded", "ask again in some seconds")
        return service.respond(request, {"status": "ok", "release": release.collection}, None)

    @router.get("/release", tags=["operation"], response_model=ReleaseAnswer)
    def release(request: Request) -> Response:
        """Return the live release: its size, version, snapshot and the digest of its manifest."""
        return service.respond(request, recommender.live(), None)

    @router.get(
        "/metrics",
        tags=["operation"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:
        """Return figures of the running server for Prometheus; needs an operator's key."""
        return Response(service.metrics.text(recommender.live_collection()), media_type=CONTENT_TYPE)

    return router
