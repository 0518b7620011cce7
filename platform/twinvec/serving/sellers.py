"""Products to recommend to a seller: the nearest in the sellers' space that it does not offer yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot, quoted
from twinvec.errors import NotFoundError
from twinvec.features.manifest import Manifest
from twinvec.features.vectors import FOLDER
from twinvec.serving.related import Product, RelatedProduct
from twinvec.workspace import Workspace

NEAREST = """
    WITH nearest AS (
        SELECT product_id, list_dot_product({field}, $seller::FLOAT[]) AS score
        FROM read_parquet({files})
        WHERE product_id NOT IN (SELECT product_id FROM offers WHERE seller_id = $seller_id)
        ORDER BY score DESC, product_id LIMIT $top
    )
    SELECT score, product_id, map_values(title)[1], category, price, marketplace
    FROM nearest JOIN products USING (product_id) ORDER BY score DESC, product_id
"""


@dataclass(frozen=True)
class Recommended:
    """What was found for a seller.

    Attributes:
        seller_id: who asked.
        version: of the space `sellers`.
        offers: products that it offers already, which are not recommended.
        hits: the nearest first.
    """

    seller_id: str
    version: str
    offers: int
    hits: tuple[RelatedProduct, ...]


def recommend(workspace: Workspace, seller_id: str, top: int, name: str = "sellers") -> Recommended:
    """Find products for a seller by an exact search, in the memory of a batch.

    Args:
        workspace: the stores.
        seller_id: who to recommend to.
        top: products to find.
        name: a version, such as `sellers@v2`, or the space, of which the latest is taken.

    Raises:
        NotFoundError: if there is no such version, or it has no such seller; the message says why.
    """
    from twinvec.features.reading import read_vectors

    version = workspace.version(name)
    if version.space != "sellers":
        raise NotFoundError(f"{version.name} has no sellers", "name a version of the space sellers")
    snapshot = open_snapshot(Path(version.snapshot.path))
    read = read_vectors(workspace.features, version, [seller_id])
    with snapshot.connect(workspace.settings.ingest.memory_limit) as connection:
        offers = "SELECT count(*) FROM offers WHERE seller_id = $seller_id"
        ((offered,),) = connection.execute(offers, {"seller_id": seller_id}).fetchall()
        if not read.present[0]:
            raise NotFoundError(
                f"{version.name} has no seller {seller_id}",
                "none of its offers is of a candidate, or of a product linked to one"
                if offered
                else f"no offer of snapshot {snapshot.id} names this seller",
            )
        products = workspace.version(_products(version))
        (field,) = Manifest.from_json(products.manifest).fields
        files = quoted(Path(products.path) / FOLDER / "*.parquet")
        asked = {"seller": read.only()[0].tolist(), "seller_id": seller_id, "top": top}
        rows = connection.execute(NEAREST.format(field=field, files=files), asked).fetchall()
    hits = tuple(
        RelatedProduct(score, Product(product, title, tuple(category), price, market))
        for score, product, title, category, price, market in rows
    )
    return Recommended(seller_id, version.name, offered, hits)


def _products(version: Version) -> str:
    """Name of the version of `seller_products` that these sellers are compared with."""
    (name,) = Manifest.from_json(version.manifest).inputs
    return name
