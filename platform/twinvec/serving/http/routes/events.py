"""`POST /events`: what visitors did with answers."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from twinvec.serving.events import EventLog, Kind
from twinvec.serving.http.answers import Answer
from twinvec.serving.http.parameters import Name
from twinvec.serving.http.service import Service


class EventBody(BaseModel):
    """One event."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    request_id: Annotated[Name, Field(description="`X-Request-Id` of the answer.", examples=["2f0c9a1b"])]
    release: Annotated[
        Name, Field(description="`X-Release` of the answer.", examples=["related_products__v7"])
    ]
    product_id: Annotated[
        Name, Field(description="Product that was shown, clicked or bought.", examples=["B01"])
    ]
    arm: Name | None = Field(None, description="`X-Arm` of the answer.")
    visitor: Name | None = Field(None, description="The caller's key of the visitor, as in `X-Visitor`.")
    order_id: Name | None = Field(None, description="Order of a purchase.")


class EventsBody(BaseModel):
    """Events, at most a thousand."""

    model_config = ConfigDict(extra="forbid")

    events: list[EventBody] = Field(min_length=1, max_length=1000)


class TakenAnswer(Answer):
    """Numbers of events that were taken and dropped."""

    taken: int
    dropped: int


def events_router(service: Service, log: EventLog) -> APIRouter:
    """Return the route of events."""
    router = APIRouter()

    @router.post("/events", tags=["events"], status_code=202, response_model=TakenAnswer)
    async def take(request: Request, body: EventsBody) -> Response:
        """Take events; they are written within seconds. Some are dropped if too many wait."""
        now = datetime.now(UTC)
        taken = log.add([{**event.model_dump(), "time": now} for event in body.events])
        for place, event in enumerate(body.events):
            service.metrics.event(event.kind, "taken" if place < taken else "dropped")
        answer = service.respond(request, {"taken": taken, "dropped": len(body.events) - taken}, None)
        answer.status_code = 202
        return answer

    return router
