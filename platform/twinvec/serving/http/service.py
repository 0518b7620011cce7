"""The service that all routers share: the answerer, the settings, the computing and the writing of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from twinvec.serving.answering import Answerer, Question
from twinvec.serving.experiment import assigned
from twinvec.serving.http.metrics import Metrics
from twinvec.serving.http.warming import Warmer
from twinvec.settings.serving import ServingSettings
from twinvec.workspace import Workspace

T = TypeVar("T")
# Beyond so many products, an answer may take milliseconds, and is not computed between those of others.
QUICK = 100
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True)
class Service:
    """One API.

    Attributes:
        answerer: Answers questions.
        settings: Settings of the API.
        metrics: Counts what is served.
        warmer: Loads what answers for the live release.
        workspace: Stores of the home, for what the index alone cannot answer.
        probes: Threads of `/ready`, which do not wait for those of questions.
    """

    answerer: Answerer
    settings: ServingSettings
    metrics: Metrics
    warmer: Warmer
    workspace: Workspace | None = None
    probes: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "probe"))

    async def run(self, work: Callable[[], T], collection: str, question: Question, asked: int = 1) -> T:
        """Return what `work` returns, computed between requests if it is quick, else in a thread.

        Args:
            work: Computes an answer.
            collection: Collection that answers.
            question: The question.
            asked: Number of products that it is about.
        """
        recommender = self.answerer.recommender
        quick = (
            recommender.index.local
            and collection in self.warmer.warmed
            and question.k * asked <= QUICK
            and not question.explain
            and not question.rules.choosing
            and not self.answerer.defaults.choosing
        )
        return work() if quick else await run_in_threadpool(work)

    async def collection(self, request: Request, release: str | None) -> str:
        """Return the collection of a release; if None, that of the visitor's arm, or else the live one."""
        recommender = self.answerer.recommender
        arms = self.settings.experiment.arms
        visitor = request.headers.get("x-visitor") if arms and release is None else None
        arm = assigned(self.settings.experiment, visitor) if visitor else None
        if arm is not None:
            request.state.arm = arm
            release = arms[arm].release
        if recommender.index.local and release is None:
            return recommender.collection_of(None)
        return await run_in_threadpool(recommender.collection_of, release)

    def etag(self, request: Request, collection: str) -> str:
        """Return the tag of the answer to a request: the same as long as the answer is."""
        what = f"{request.url.path}?{request.url.query}|{self.answerer.attributes.version}|{self.answerer.defaults}"
        digest = hashlib.blake2b(what.encode("utf-8", "replace"), digest_size=9).hexdigest()
        return f'W/"{collection}-{digest}"'

    def unchanged(self, request: Request, collection: str) -> Response | None:
        """Return status 304 if the caller holds the answer of this very release, else None."""
        given = request.headers.get("if-none-match")
        if given is None:
            return None
        self.answerer.attributes.refresh()
        tag = self.etag(request, collection)
        if tag not in (each.strip() for each in given.split(",")):
            return None
        request.state.release = collection
        return Response(status_code=304, headers=self._headers(request, collection, tag))

    def respond(self, request: Request, answer: Any, collection: str | None) -> Response:
        """Return an answer as JSON, written once."""
        headers = {}
        if collection is not None:
            request.state.release = collection
            tag = self.etag(request, collection) if request.method == "GET" else None
            headers = self._headers(request, collection, tag)
        return Response(
            orjson.dumps(answer, default=str, option=OPTIONS), headers=headers, media_type="application/json"
        )

    def _headers(self, request: Request, collection: str, tag: str | None) -> dict[str, str]:
        headers = {"x-release": collection}
        if self.settings.experiment.arms:
            headers["vary"] = "X-Visitor"
        arm = getattr(request.state, "arm", None)
        if arm is not None:
            headers["x-arm"] = arm
        if tag is not None:
            headers["etag"] = tag
            # An answer of an experiment is one visitor's.
            age = self.settings.max_age if arm is None else 0
            headers["cache-control"] = f"private, max-age={age}"
        return headers
