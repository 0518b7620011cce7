"""`/explore`: the page, and the data that it asks for. Nothing here changes a home."""

# No `from __future__ import annotations`: FastAPI reads the annotations of functions inside a function.

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from twinvec.errors import NotFoundError
from twinvec.serving.explore import comparing, maps, page, products
from twinvec.serving.explore.opening import Explored, Explorer
from twinvec.serving.explore.thumbnails import NoPictureError, Thumbnails
from twinvec.serving.http.errors import RequestError
from twinvec.serving.http.parameters import Name
from twinvec.serving.http.service import Service
from twinvec.workspace import Workspace

TAG = "explore"
MOST_ROWS = 1_000_000
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
Release = Annotated[Name | None, Query(description="Release, as `v7`; the live one if not given.")]
Token = Annotated[
    Name | None, Query(description="`token` of the map's description, so that answers can be kept.")
]
ProductId = Annotated[str, Path(description="Id of a product of the catalogue.", examples=["5555991584"])]


def page_router() -> APIRouter:
    """Return the routes of the page's own files, which need no key: they hold no data."""
    router = APIRouter(include_in_schema=False)

    @router.get("/explore")
    def show(request: Request) -> Response:
        return _asset(request, page.PAGE, {"content-security-policy": page.POLICY})

    @router.get("/explore/assets/{name}")
    def asset(request: Request, name: str) -> Response:
        return _asset(request, name, {})

    return router


def explore_router(service: Service, workspace: Workspace, thumbnails: Thumbnails | None) -> APIRouter:
    """Return the routes of the page's data."""
    router = APIRouter(prefix="/explore/api", tags=[TAG])
    explorer = Explorer(workspace)

    def opened(request: Request, release: str | None) -> Explored:
        found = explorer.open(release)
        request.state.release = found.release.collection
        return found

    @router.get("/releases")
    def releases(request: Request) -> Response:
        """Return all releases that can answer, the newest first."""
        return service.respond(request, {"releases": comparing.list_releases(workspace)}, None)

    @router.get("/panels")
    def panels(request: Request) -> Response:
        """Return the live release that answers for similar products, and for search relevance; null if none does."""
        return service.respond(request, comparing.panels(workspace), None)

    @router.get("/map")
    def describe(request: Request, release: Release = None) -> Response:
        """Describe the map of a release: its size, and the columns that `values` gives."""
        return service.respond(request, maps.describe(opened(request, release)), None)

    @router.get(
        "/values",
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {}}}},
    )
    def values(
        request: Request,
        column: Annotated[Name, Query(description="Column, as `target_x` or `price`.")],
        release: Release = None,
        first: Annotated[int, Query(ge=0, le=2**31, description="First row of the page.")] = 0,
        rows: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows of the page.")] = MOST_ROWS,
        token: Token = None,
    ) -> Response:
        """Return a page of a column as float32, little-endian: places, numbers, and numbers of groups."""
        found = opened(request, release)
        content = maps.values(found, column, first, rows).tobytes()
        # Places hardly get smaller by compression, which would take longer than they do.
        headers = {"content-encoding": "identity", "x-rows": str(found.places.num_rows)}
        kept = FOREVER if token is not None and token == found.token else {"cache-control": "no-store"}
        return Response(content, headers=headers | kept, media_type="application/octet-stream")

    @router.get("/search")
    def search(
        request: Request,
        q: Annotated[Name, Query(description="Words of a title, or an id.")],
        release: Release = None,
        k: Annotated[int, Query(ge=1, le=200, description="Number of products.")] = 20,
    ) -> Response:
        """Return products whose title has every word, the most bought first; one of this id is the first."""
        found = opened(request, release)
        return service.respond(request, {"products": maps.search(found, q, k)}, None)

    @router.get("/rows")
    def rows(
        request: Request,
        release: Release = None,
        row: Annotated[list[int], Query(max_length=200, description="Rows of the map.")] = [],  # noqa: B006
        product: Annotated[list[Name], Query(max_length=1000, alias="id", description="Products.")] = [],  # noqa: B006
    ) -> Response:
        """Return what is in some rows of the map, and the rows of some products, null if they are not there."""
        found = opened(request, release)
        answer = {"products": maps.briefs(found, row), "rows": found.rows(product)}
        return service.respond(request, answer, None)

    @router.get("/product/{product_id:path}")
    def product(request: Request, product_id: ProductId, release: Release = None) -> Response:
        """Return a product of the catalogue, and its edges in the product graph."""
        return service.respond(request, products.detail(opened(request, release), product_id), None)

    @router.get(
        "/image/{product_id:path}", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
    )
    def image(request: Request, product_id: ProductId, release: Release = None) -> Response:
        """Return a small picture of a product."""
        found = opened(request, release)
        name = products.find_product(found, product_id)["image"]
        if name is None or thumbnails is None:
            raise NoPictureError(f"product {product_id!r} has no image", "the catalogue names none")
        content = thumbnails(found.snapshot, name)
        return Response(content, headers={"cache-control": "private, max-age=86400"}, media_type="image/jpeg")

    @router.get("/compare")
    def compare(
        request: Request,
        other: Annotated[Name, Query(description="Release to compare with, as `v6`.")],
        release: Release = None,
    ) -> Response:
        """Return two releases beside each other: figures, gates, runs, and the lists that changed most."""
        one, two = opened(request, release), explorer.open(other)
        return service.respond(request, comparing.compare(workspace, one, two), None)

    @router.get("/picture", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    def picture(
        run: Annotated[str, Query(pattern=r"^[0-9a-f]{32}$", description="Run, as `compare` names it.")],
        name: Annotated[Name, Query(description="Picture of the run, as `compare` names it.")],
    ) -> Response:
        """Return a picture of a run of MLflow."""
        from twinvec.tracking.pictures import read_picture

        try:
            content = read_picture(workspace.settings, run, name)
        except NotFoundError as error:
            raise NoPictureError(error.message, error.hint) from error
        return Response(content, headers={"cache-control": "private, max-age=86400"}, media_type="image/png")

    return router


def _asset(request: Request, name: str, headers: dict[str, str]) -> Response:
    found = page.asset(name)
    if found is None:
        raise RequestError(404, "the page has no such file", "it begins at /explore")
    headers = {
        "cache-control": "no-cache",
        "etag": found.etag,
        "x-content-type-options": "nosniff",
        **headers,
    }
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)
