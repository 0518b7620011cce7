"""The same product and its substitutes in all stores and languages, from the live release of `similar`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError, StateError
from twinvec.plugins import load_reference
from twinvec.serving.choices import check_filters
from twinvec.serving.related import UnknownProductError
from twinvec.spaces import find_space, release_name
from twinvec.vectors.index import Filters, Hit
from twinvec.vectors.points import LISTING, point_id
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from registry.models import Release

SPACE = "similar"
# Answers that are looked at for those that count as the same product.
MOST = 100
Relation = Literal["exact", "substitute", "other"]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NewListing:
    """A listing that is not in the catalogue; anything that is known of it helps.

    Attributes:
        title, description, brand, colour, size: As in the contract.
        attributes: Name → value of further attributes.
        image: Bytes of an image file.
    """

    title: str | None = None
    description: str | None = None
    brand: str | None = None
    colour: str | None = None
    size: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    image: bytes | None = None


@dataclass(frozen=True)
class SimilarListing:
    """A listing of the answer.

    Attributes:
        score: Cosine with the listing of the query.
        relation: `exact` if it is taken for the same product, `substitute` if for one of its family, else `other`. The
            catalogue decides where it knows; otherwise the cosine, by bounds found on validation data.
        known: True if the catalogue says so, False if the cosine. Hits are in the order of the cosine, so that an
            `exact` of the one may stand below a `substitute` of the other.
        item_id, product_id, family_id, title, category, price, currency, marketplace, language: As in the contract.
    """

    score: float
    relation: Relation
    known: bool
    item_id: str
    product_id: str
    family_id: str
    title: str | None
    category: tuple[str, ...]
    price: float | None
    currency: str | None
    marketplace: str
    language: str


@dataclass(frozen=True)
class Similar:
    """The answer to one query, all of it from one release.

    Attributes:
        release: Collection that answered, `similar_products__v2`.
        item_id: Listing of the query; None if it is not in the catalogue.
        hits: Best first.
    """

    release: str
    item_id: str | None
    hits: tuple[SimilarListing, ...]


class ListingEncoder(Protocol):
    """Interface of encoders of new listings; `pipelines.similar` implements it."""

    def encode(self, listing: NewListing) -> Floats:
        """Return the vector of a listing, float32 [d]."""
        ...


class Finder:
    """Answers from whichever release of `similar` is live at the moment of each. May be used by several threads.

    Args:
        workspace: Stores.
        release: Name of the releases; that of the space if not given.
    """

    def __init__(self, workspace: Workspace, release: str | None = None) -> None:
        self._workspace = workspace
        self._release = release or release_name(find_space(SPACE), workspace.settings)
        self._encoder: tuple[str, ListingEncoder] | None = None

    def similar(
        self,
        item: str | NewListing,
        k: int = 10,
        marketplace: str | None = None,
        exact_only: bool = False,
        live: Release | None = None,
    ) -> Similar:
        """Return the k listings most similar to one, best first.

        Args:
            item: Id of a listing or of a product, or a listing that is not in the catalogue. A product is asked by its
                listing in `marketplace` if it has one, else by its first.
            k: Number of listings.
            marketplace: Store whose listings are found; all if not given.
            exact_only: Leave out what is not taken for the same product.
            live: Live release, as `live` returned it; asked for if not given.

        Raises:
            StateError: If no release is live.
            UnusableFilterError: If the release has no listing in this marketplace.
            UnknownProductError: If the live release has no such listing or product.
            UnusableProductError: If a new listing cannot be encoded.
        """
        live = live or self.live()
        collection, metrics = live.collection, live.version.metrics or {}
        index = self._workspace.index
        filters = Filters(marketplace=(marketplace,)) if marketplace is not None else None
        check_filters(index, collection, filters)
        own: Mapping[str, Any] = {}
        if isinstance(item, NewListing):
            vector = self._encoder_of(live).encode(item)
        else:
            point, own = self._find(collection, item, marketplace, lambda: Path(live.version.snapshot.path))
            vector = self._workspace.index.vectors(collection, [point])[0][0]
        sought = max(k, MOST) if exact_only else k
        ef = max(index.search_ef(collection) or self._workspace.settings.qdrant.ef, sought + 1)
        (found,) = index.search(collection, vector[None], sought + 1, filters, ef)
        hits = [_listing(hit, own, metrics) for hit in found if hit.key != own.get("item_id")]
        if exact_only:
            hits = [hit for hit in hits if hit.relation == "exact"]
        return Similar(collection, own.get("item_id"), tuple(hits[:k]))

    def live(self) -> Release:
        """Return the live release.

        Raises:
            StateError: If there is none.
        """
        from twinvec import releases

        live = releases.live(self._workspace, self._release)
        if live is None:
            raise StateError(
                f"no release of {self._release} is live",
                "`twinvec train similar`, `twinvec publish similar` and `twinvec promote --release "
                f"{self._release}` make one",
            )
        return live

    def warm(self) -> None:
        """Load the encoder of the live release, if there is one and it is not loaded yet."""
        try:
            live = self.live()
        except StateError:
            return
        self._encoder_of(live)

    def _find(
        self, collection: str, item: str, marketplace: str | None, snapshot: Callable[[], Path]
    ) -> tuple[str, Mapping[str, Any]]:
        """Return the point and the payload of a listing, named by its own id or its product's."""
        index = self._workspace.index
        point = point_id(LISTING, item)
        (payload,) = index.payloads(collection, [point])
        if payload is not None:
            return point, payload
        query = """
            SELECT item_id FROM listings WHERE product_id = $product
            ORDER BY (marketplace = $marketplace) DESC NULLS LAST, item_id LIMIT 1
        """
        with open_snapshot(snapshot()).connect() as connection:
            parameters = {"product": item, "marketplace": marketplace}
            rows = connection.execute(query, parameters).fetchall()
        for (listing,) in rows:
            point = point_id(LISTING, listing)
            (payload,) = index.payloads(collection, [point])
            if payload is not None:
                return point, payload
        raise UnknownProductError(
            f"{item!r} is no listing or product among the {index.count(collection):,} listings of {collection}",
            "ids are matched letter for letter; describe a listing that is not in the catalogue by its title",
        )

    def _encoder_of(self, live: Release) -> ListingEncoder:
        """Return the encoder of the live release; it is kept until another one is live."""
        kept = self._encoder
        if kept is None or kept[0] != live.collection:
            serving = find_space(SPACE).serving
            if serving is None or serving.cold_start is None:
                raise NotFoundError(
                    f"{SPACE} declares no encoder of new listings", "name one of the catalogue"
                )
            kept = self._encoder = (
                live.collection,
                load_reference(serving.cold_start)(self._workspace, live.version),
            )
        return kept[1]


def _listing(hit: Hit, own: Mapping[str, Any], metrics: Mapping[str, float]) -> SimilarListing:
    payload = hit.payload
    relation: Relation = "other"
    product, family = (payload[name] == own.get(name) for name in ("product_id", "family_id"))
    if product:
        relation = "exact"
    elif family:
        relation = "substitute"
    elif hit.score >= metrics.get("exact_from", 2.0):
        relation = "exact"
    elif hit.score >= metrics.get("substitute_from", 2.0):
        relation = "substitute"
    return SimilarListing(
        hit.score,
        relation,
        product or family,
        payload["item_id"],
        payload["product_id"],
        payload["family_id"],
        payload["title"],
        tuple(payload["category"]),
        payload["price"],
        payload.get("currency"),
        payload["marketplace"],
        payload["language"],
    )
