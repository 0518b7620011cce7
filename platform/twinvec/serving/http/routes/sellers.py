"""`/sellers`: products to recommend to a seller."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from twinvec.serving.http.answers import SellerAnswer
from twinvec.serving.http.parameters import SellerParameters
from twinvec.serving.http.service import Service
from twinvec.serving.sellers import live_release, recommend_by_rules
from twinvec.workspace import Workspace


def sellers_router(service: Service, workspace: Workspace) -> APIRouter:
    """Return the routes of sellers."""
    router = APIRouter()

    @router.get("/sellers/{seller_id:path}", tags=["sellers"], response_model=SellerAnswer)
    def recommended(
        request: Request,
        seller_id: Annotated[str, Path(description="Id of a seller.", examples=["S1"])],
        parameters: Annotated[SellerParameters, Query()],
    ) -> Response:
        """Return products that a seller does not offer yet, the nearest first, under the rules."""
        live = live_release(workspace) if parameters.version is None else None
        unchanged = service.unchanged(request, live.collection) if live is not None else None
        if unchanged is not None:
            return unchanged
        answer = recommend_by_rules(
            workspace, service.answerer, seller_id, parameters.question(), parameters.version
        )
        return service.respond(request, answer, answer.release)

    return router
