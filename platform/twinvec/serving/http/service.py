"""The service that all routers share: the answerer, the settings, the computing and the writing of answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from twinvec.serving.answering import Answerer, Question
from twinvec.serving.experiment import assigned
from twinvec.serving.http.kept import KeptAnswers, Written
from twinvec.serving.http.metrics import Metrics
from twinvec.serving.http.warming import Warmer
from twinvec.settings.serving import ServingSettings
from twinvec.workspace import Workspace

T = TypeVar("T")
# Beyond so many products, an answer may take milliseconds, and is not computed between those of others. An entry of a
# list takes a microsecond.
QUICK, QUICK_ENTRIES = 100, 1000
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
    _kept: KeptAnswers = field(init=False, repr=False)
    _rules: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute what is the same for all requests."""
        object.__setattr__(self, "_kept", KeptAnswers(self.settings.cache << 20))
        object.__setattr__(self, "_rules", repr(self.answerer.defaults))

    async def related(
        self, route: str, product_ids: Sequence[str], question: Question, collection: str
    ) -> list[bytes]:
        """Return the answer for each of some products as JSON; an unknown one, if there are several, has no hits.

        An answer that was written before is not computed again, unless it gives reasons, which may be learned anew.

        Args:
            route: Route for the metrics.
            product_ids: Products, each once or more.
            question: The question.
            collection: Collection that answers.

        Raises:
            UnknownProductError: If the only product is unknown.
        """
        answerer, kind = self.answerer, (collection, question, self._version())
        kept = self._kept.find(kind) if not question.explain else {}
        written = {name: kept[name] for name in product_ids if name in kept}
        missing = [name for name in dict.fromkeys(product_ids) if name not in written]
        if missing:
            whole = await self.run(
                lambda: answerer.written(missing, question, collection),
                collection,
                question,
                len(missing),
                QUICK_ENTRIES,
            )
            new = {name: Written(content, False, None) for name, content in whole.items()}
            rest = [name for name in missing if name not in whole]
            if rest:
                work = partial(self._compute, rest, question, collection, alone=len(product_ids) == 1)
                new |= await self.run(work, collection, question, len(rest))
            written |= new
            if self.settings.cache and not question.explain:
                for name, answer in new.items():
                    if answer.fallback is None:
                        self._kept.keep(kind, name, answer)
        chosen = [written[name] for name in product_ids]
        for each in chosen:
            if each.empty or each.fallback is not None:
                self.metrics.answered(route, empty=each.empty, fallback=each.fallback)
        return [each.content for each in chosen]

    def _compute(
        self, product_ids: Sequence[str], question: Question, collection: str, *, alone: bool
    ) -> dict[str, Written]:
        """Return the answer for each of some products; a single one has to be known."""
        if alone:
            answers = [self.answerer.related(product_ids[0], question, collection)]
        else:
            answers = self.answerer.batch(product_ids, question, collection)
        return {
            name: Written(write(answer), not answer.hits, answer.fallback)
            for name, answer in zip(product_ids, answers, strict=True)
        }

    def _version(self) -> str:
        """Return the version of the attributes, as they are now."""
        self.answerer.attributes.refresh()
        return self.answerer.attributes.version

    async def run(
        self,
        work: Callable[[], T],
        collection: str,
        question: Question,
        asked: int = 1,
        quick: int = QUICK,
    ) -> T:
        """Return what `work` returns, computed between requests if it is quick, else in a thread.

        Args:
            work: Computes an answer.
            collection: Collection that answers.
            question: The question.
            asked: Number of products that it is about.
            quick: Number of products in answers that are computed between requests.
        """
        recommender = self.answerer.recommender
        between = (
            recommender.index.local
            and collection in self.warmer.warmed
            and question.k * asked <= quick
            and not question.explain
            and not question.rules.choosing
            and not self.answerer.defaults.choosing
        )
        return work() if between else await run_in_threadpool(work)

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
        scope = request.scope
        what = f"{scope['path']}|{self.answerer.attributes.version}|{self._rules}?".encode("utf-8", "replace")
        digest = hashlib.blake2b(what + scope["query_string"], digest_size=9).hexdigest()
        return f'W/"{collection}-{digest}"'

    def unchanged(self, request: Request, collection: str) -> Response | None:
        """Return status 304 if the caller holds the answer of this very release, else None."""
        given = request.headers.get("if-none-match")
        if given is None:
            return None
        self._version()
        tag = self.etag(request, collection)
        if tag not in (each.strip() for each in given.split(",")):
            return None
        request.state.release = collection
        response = Response(status_code=304)
        response.raw_headers += self._headers(request, collection, tag)
        return response

    def respond(self, request: Request, answer: Any, collection: str | None) -> Response:
        """Return an answer as JSON, written once; bytes are JSON already."""
        content = answer if isinstance(answer, bytes) else write(answer)
        response = Response(content, media_type="application/json")
        if collection is not None:
            request.state.release = collection
            tag = self.etag(request, collection) if request.method == "GET" else None
            response.raw_headers += self._headers(request, collection, tag)
        return response

    def _headers(self, request: Request, collection: str, tag: str | None) -> list[tuple[bytes, bytes]]:
        """Return headers of an answer as they are sent: a response takes as long again to make them of a mapping."""
        headers = [(b"x-release", collection.encode("latin-1"))]
        arm = None
        if self.settings.experiment.arms:
            headers.append((b"vary", b"X-Visitor"))
            arm = getattr(request.state, "arm", None)
        if arm is not None:
            headers.append((b"x-arm", arm.encode("latin-1")))
        if tag is not None:
            # An answer of an experiment is one visitor's.
            age = self.settings.max_age if arm is None else 0
            headers.append((b"etag", tag.encode("latin-1")))
            headers.append((b"cache-control", b"private, max-age=%d" % age))
        return headers


def write(answer: Any) -> bytes:
    """Return an answer as JSON."""
    return orjson.dumps(answer, default=str, option=OPTIONS)
