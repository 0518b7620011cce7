"""One product as the page shows it: what the catalogue says of it, and the products that it is tied to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twinvec.serving.explore.maps import titles_of
from twinvec.serving.explore.opening import Explored
from twinvec.serving.related import UnknownProductError
from twinvec.text import is_valid

# Ties of each kind that are shown.
MOST = 30
PRODUCT_SQL = "SELECT * FROM products WHERE product_id = $id"
TIES_SQL = """
    WITH ties AS (
        SELECT 'bought after' AS kind, target AS product_id, count FROM copurchase WHERE source = $id
        UNION ALL SELECT 'bought before', source, count FROM copurchase WHERE target = $id
        UNION ALL SELECT 'viewed', target, count FROM coview WHERE source = $id
        UNION ALL SELECT 'viewed', source, count FROM coview WHERE target = $id
    ), counted AS (SELECT kind, product_id, sum(count)::BIGINT AS count FROM ties GROUP BY kind, product_id)
    SELECT kind, product_id, count FROM counted
    QUALIFY row_number() OVER (PARTITION BY kind ORDER BY count DESC, product_id) <= $most
    ORDER BY kind, count DESC, product_id
"""


@dataclass(frozen=True)
class Tie:
    """An edge of the product graph.

    Attributes:
        kind: `bought after` it, `bought before` it, `bought` with it where no direction is known, or `viewed` with it.
        product_id: The other product.
        count: Number of times.
        row: Its row on the map; None if it is not there.
        title: Its title, if it is known.
    """

    kind: str
    product_id: str
    count: int
    row: int | None
    title: str | None


@dataclass(frozen=True)
class Detail:
    """A product of one release.

    Attributes:
        release: Number of the release, as `v7`.
        product_id: Its id.
        row: Its row on the map; None if it is not there.
        titles: Language → title.
        category: From the root to the leaf.
        price, currency, marketplace, brand, image: As the catalogue has them.
        popularity: Times bought together with another product; None without a map.
        cold: Whether it has no ties at all.
        ties: Its edges in the graph, the strongest of each kind.
    """

    release: str
    product_id: str
    row: int | None
    titles: dict[str, str]
    category: tuple[str, ...]
    price: float | None
    currency: str | None
    marketplace: str
    brand: str | None
    image: str | None
    popularity: float | None
    cold: bool
    ties: tuple[Tie, ...]


def find_product(explored: Explored, product_id: str) -> dict[str, Any]:
    """Return the row of a product in the snapshot of a release.

    Raises:
        UnknownProductError: If there is no such product.
    """
    found = explored.query(PRODUCT_SQL, {"id": product_id}) if is_valid(product_id) else []
    if not found:
        raise UnknownProductError(
            f"product {product_id!r} is not in the catalogue of {explored.release.label}",
            "ids are matched letter for letter; search for its title",
        )
    return found[0]


def detail(explored: Explored, product_id: str) -> Detail:
    """Return a product and its ties.

    Raises:
        UnknownProductError: If the release's catalogue has no such product.
    """
    product = find_product(explored, product_id)
    ties = explored.query(TIES_SQL, {"id": product_id, "most": MOST})
    row, *others = explored.rows([product_id, *(tie["product_id"] for tie in ties)])
    titles = titles_of(explored, others)
    directed = explored.snapshot.directed
    return Detail(
        f"v{explored.release.number}",
        product_id,
        row,
        dict(product["title"] or ()),
        tuple(product["category"]),
        product["price"],
        product["currency"],
        product["marketplace"],
        product["brand"],
        product["image"],
        float(explored.places["popularity"][row].as_py()) if row is not None else None,
        not ties,
        tuple(
            Tie(
                tie["kind"] if directed or tie["kind"] == "viewed" else "bought",
                tie["product_id"],
                tie["count"],
                other,
                titles.get(other),
            )
            for tie, other in zip(ties, others, strict=True)
        ),
    )
