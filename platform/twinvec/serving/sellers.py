"""Products to recommend to a seller: the nearest in the sellers' space that it does not offer yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from registry.models import Release, Version
from twinvec.catalogue.snapshot import Snapshot, open_snapshot, quoted
from twinvec.errors import NotFoundError, StateError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.serving.product import Product, RelatedProduct
from twinvec.serving.related import UnknownNameError, found_products
from twinvec.spaces import find_space, release_name
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from twinvec.serving.answering import Answerer, Question

Floats = npt.NDArray[np.float32]
SPACE = "sellers"
NEAREST = """
    WITH nearest AS (
        SELECT product_id, list_dot_product({field}, $seller::FLOAT[]) AS score
        FROM read_parquet({files})
        WHERE NOT list_contains($offered::VARCHAR[], product_id)
        ORDER BY score DESC, product_id LIMIT $top
    )
    SELECT score, product_id, map_values(title)[1] AS title, category, price, marketplace,
           currency, brand, image
    FROM nearest JOIN products USING (product_id) ORDER BY score DESC, product_id
"""


class UnknownSellerError(NotFoundError):
    """The version has no such seller."""


@dataclass(frozen=True)
class Recommended:
    """Recommendations for a seller.

    Attributes:
        seller_id: Seller.
        version: Version of the space `sellers`.
        release: Collection that was searched; None if the version's files were searched.
        offers: Number of products that the seller offers already, which are not recommended.
        hits: Recommended products, the nearest first.
    """

    seller_id: str
    version: str
    release: str | None
    offers: int
    hits: tuple[RelatedProduct, ...]


def live_release(workspace: Workspace) -> Release | None:
    """Return the live release of recommendations to sellers, or None."""
    from twinvec import releases

    return releases.live(workspace, release_name(find_space(SPACE), workspace.settings))


def recommend(workspace: Workspace, seller_id: str, top: int, name: str | None = None) -> Recommended:
    """Return products for a seller, by the live release, or else by the latest version.

    Args:
        workspace: Stores.
        seller_id: Seller to recommend to.
        top: Number of products.
        name: Version to search exactly, published or not, such as `sellers@v2`.

    Raises:
        NotFoundError: If there is no such version, or it has no such seller; the message says why.
        StateError: If it is of another space.
    """
    from twinvec.features.reading import read_vectors
    from twinvec.releases.lookup import searched_version

    release = live_release(workspace) if name is None else None
    try:
        version = release.version if release is not None else workspace.version(name or SPACE)
    except NotFoundError as error:
        if name is None:
            raise
        raise UnknownNameError(error.message, error.hint) from error
    if version.space != SPACE:
        raise StateError(f"{version.name} has no sellers", f"name a version of the space {SPACE}")
    products = searched_version(workspace, version)
    snapshot = open_snapshot(Path(version.snapshot.path))
    offered = _offered(workspace, snapshot, seller_id)
    read = read_vectors(workspace.features, version, [seller_id])
    if not read.present[0]:
        raise UnknownSellerError(
            f"{version.name} has no seller {seller_id}",
            "none of its offers is of a candidate, or of a product linked to one"
            if offered
            else f"no offer of snapshot {snapshot.id} names this seller",
        )
    if release is None:
        hits = tuple(_search_files(workspace, snapshot, products, read.only(), offered, top))
    else:
        index, collection = workspace.index, release.collection
        (nearest,) = index.search(collection, read.only(), top + len(offered), ef=index.search_ef(collection))
        new = [hit for hit in nearest if hit.product_id not in offered]
        hits = found_products(new[:top], workspace.settings.serving.link)
    return Recommended(seller_id, version.name, release.collection if release else None, len(offered), hits)


def recommend_by_rules(
    workspace: Workspace, answerer: Answerer, seller_id: str, question: Question, name: str | None = None
) -> Recommended:
    """Return products for a seller that the question's rules leave; see `recommend` for the other arguments.

    More candidates are looked at until k are left, or there are no more.
    """
    rules, n = question.rules, question.k
    if rules.choosing:
        n = max(50, 4 * n)
    while True:
        found = recommend(workspace, seller_id, n, name)
        hits = answerer.choose(found.release or "", found.hits, question)
        ended = len(found.hits) < n or (
            rules.min_score is not None and found.hits[-1].score < rules.min_score
        )
        if len(hits) >= question.k or ended or not rules.choosing:
            return replace(found, hits=tuple(hits))
        n *= 4


def _offered(workspace: Workspace, snapshot: Snapshot, seller_id: str) -> set[str]:
    with snapshot.connect(workspace.settings.ingest.memory_limit) as connection:
        query = "SELECT product_id FROM offers WHERE seller_id = $seller_id"
        return {product for (product,) in connection.execute(query, {"seller_id": seller_id}).fetchall()}


def _search_files(
    workspace: Workspace, snapshot: Snapshot, products: Version, vector: Floats, offered: set[str], top: int
) -> list[RelatedProduct]:
    """Search the files of a version of `seller_products` exactly, in the memory of a batch."""
    (field,) = Manifest.from_json(products.manifest).fields
    files = quoted(Path(products.path) / FOLDER / "*.parquet")
    parameters = {"seller": vector[0].tolist(), "offered": sorted(offered), "top": top}
    with snapshot.connect(workspace.settings.ingest.memory_limit) as connection:
        query = NEAREST.format(field=field, files=files)
        rows = connection.sql(query, params=parameters).to_arrow_table().to_pylist()
    link = workspace.settings.serving.link
    return [RelatedProduct(row.pop("score"), Product.from_payload(row, link)) for row in rows]
