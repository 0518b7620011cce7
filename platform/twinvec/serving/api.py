"""The HTTP API, put together of a router for each kind of question. A new live release answers without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline

import twinvec
from twinvec.serving.answering import Answerer
from twinvec.serving.events import open_log
from twinvec.serving.explore.thumbnails import Thumbnails
from twinvec.serving.http.compression import Compression
from twinvec.serving.http.errors import ErrorAnswer, install_handlers
from twinvec.serving.http.guard import OPEN, Guard, Served
from twinvec.serving.http.keys import Keys
from twinvec.serving.http.lane import Lane, Post
from twinvec.serving.http.logs import log_request
from twinvec.serving.http.metrics import Metrics
from twinvec.serving.http.parameters import ManyBody, NewProductBody, Questions
from twinvec.serving.http.routes.events import events_router
from twinvec.serving.http.routes.explore import explore_router, page_router
from twinvec.serving.http.routes.health import health_router
from twinvec.serving.http.routes.related import answer_many, answer_new, answer_one, related_router
from twinvec.serving.http.routes.relevance import relevance_router
from twinvec.serving.http.routes.sellers import sellers_router
from twinvec.serving.http.routes.similar import similar_router
from twinvec.serving.http.service import Service
from twinvec.serving.http.telemetry import annotate, telemetry
from twinvec.serving.http.warming import Warmer
from twinvec.serving.similar import SPACE as SIMILAR
from twinvec.settings.serving import ServingSettings
from twinvec.spaces import all_spaces
from twinvec.workspace import Workspace

DESCRIPTION = """Related products from the live release.

Every answer carries `X-Request-Id` and `X-Release`. Errors are objects with `detail`, `hint` and `request_id`."""
TAGS = [
    {
        "name": "related products",
        "description": "What goes with a product, a basket, or a product that is new.",
    },
    {"name": "similar products", "description": "The same product and its substitutes in all stores."},
    {"name": "search relevance", "description": "What products are to a search query."},
    {"name": "events", "description": "What visitors did with answers."},
    {"name": "sellers", "description": "What a seller could offer."},
    {"name": "explore", "description": "What the page at /explore shows: maps, products, two releases."},
    {"name": "operation", "description": "For balancers and operators."},
]
ERRORS = {
    400: "The body cannot be parsed.",
    401: "The request has no key, or one that is not known.",
    403: "The key does not allow this.",
    404: "The release has no such product, category or marketplace, or there is no such release.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "A parameter is unknown, out of its bounds, or contradicts another.",
    429: "The key has no request left for now.",
    503: "No release is live, or a store does not answer.",
}
WITH_IMAGES = frozenset({"/related", "/similar"})


def create_app(
    answerer: Answerer,
    settings: ServingSettings | None = None,
    keys: Keys | None = None,
    workspace: Workspace | None = None,
    thumbnails: Thumbnails | None = None,
) -> FastAPI:
    """Return the API over one answerer.

    Args:
        answerer: Answers questions.
        settings: Settings of the API; the defaults if not given.
        keys: Keys of callers; those of the settings if not given.
        workspace: Stores of a home; without it, only what the index knows is answered.
        thumbnails: Reads pictures of products for the page at /explore; without it, there are none.
    """
    settings = settings or ServingSettings()
    events = open_log(settings.events, workspace.settings.paths.events if workspace else None)
    metrics = Metrics()
    warmer = Warmer(answerer.recommender, answerer.cold_start if settings.warm else None)
    service = Service(answerer, settings, metrics, warmer, workspace)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        warmer.start()
        yield
        warmer.stop()
        if events is not None:
            events.close()
        service.probes.shutdown(wait=False)

    app: FastAPI = FastAPIOffline(
        title="Twinvec",
        version=twinvec.__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        telemetry=telemetry(enabled=settings.telemetry),
        responses={status: {"model": ErrorAnswer, "description": text} for status, text in ERRORS.items()},
    )
    install_handlers(app)
    # Routes are tried in this order: what is asked most comes first.
    known = Questions()
    app.include_router(related_router(service, known))
    app.include_router(health_router(service))
    if workspace is not None:
        app.include_router(sellers_router(service, workspace))
        if any(space.name == SIMILAR for space in all_spaces()):
            app.include_router(similar_router(service, workspace))
        if any(space.serving is not None and space.serving.classify is not None for space in all_spaces()):
            app.include_router(relevance_router(service, workspace))
        app.include_router(page_router())
        app.include_router(explore_router(service, workspace, thumbnails))
    if events is not None:
        app.include_router(events_router(service, events))
    app.openapi = _described(app)  # type: ignore[method-assign]

    def observe(request: Served) -> None:
        metrics.served(request)
        if settings.log:
            log_request(request)

    # The last one added is the first that a request meets.
    if not settings.telemetry:  # which learns from the framework what route it was
        posts = {
            "/related/batch": Post(ManyBody, lambda request, body, _: answer_many(service, request, body))
        }
        if answerer.cold_start is not None:
            posts["/related"] = Post(NewProductBody, partial(answer_new, service))
        app.add_middleware(Lane, known=known, answer=partial(answer_one, service), posts=posts)
    app.add_middleware(Compression, minimum_size=1000, compresslevel=5)
    app.add_middleware(
        Guard,
        keys=keys or Keys(settings.keys),
        limits=settings.limits,
        images=WITH_IMAGES,
        observe=observe,
        announce=annotate if settings.telemetry else lambda _state: None,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "If-None-Match",
                "X-API-Key",
                "X-Request-Id",
                "X-Visitor",
            ],
            expose_headers=["ETag", "X-Request-Id", "X-Release", "X-Arm"],
        )
    return app


def _described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return a function that describes the API with its security; it is computed once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            document.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            document["security"] = [{"bearer": []}, {"key": []}]
            for path in OPEN:
                document["paths"][path]["get"]["security"] = []
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
