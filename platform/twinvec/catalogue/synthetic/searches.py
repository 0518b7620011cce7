"""Search queries with known intent, their judged products, and what was bought after them.

A query wants one shelf: a type and an ecosystem. Judged products are exact (on that shelf), substitutes (of the type,
for another ecosystem), complements (of a linked type, for the ecosystem) or irrelevant (of another world), with the
class shares of SALAM's appendix B. Half of the queries name the ecosystem as titles do. The others name the type and a
word that no title has, as shoppers write names that a shop does not: their text tells no exact product from a
substitute, but what was bought after them does. Purchases are plenty in some regions and all but absent in others.

Streams are this module's own, so that a store is otherwise the same with these tables as without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinvec.catalogue.synthetic import vocabulary
from twinvec.catalogue.synthetic.layout import Layout, index_of, places_of, shelf_size
from twinvec.catalogue.synthetic.products import Flags, is_cold, products_at
from twinvec.draws import Ints, integers, uniform


@dataclass(frozen=True)
class Region:
    """Customers of one region.

    Attributes:
        name: Locale of its queries.
        marketplace: Position in `vocabulary.MARKETPLACES` of the shop that they use; its language is theirs.
        share: Share of the queries.
        known: Chance that a query has been followed by a purchase.
    """

    name: str
    marketplace: int
    share: float
    known: float


REGIONS = (
    Region("us", 0, 0.4, 0.9),
    Region("es", 1, 0.25, 0.9),
    Region("br", 2, 0.2, 0.4),
    Region("mx", 1, 0.15, 0.05),
)
QUERIES_PER_PRODUCT = 2
JUDGED = 4
"""Judged products of a query."""
CLASS_SHARES = (0.719, 0.151, 0.081, 0.049)
"""Shares of the labels (SALAM, appendix B); those printed lack a thousandth, which is given to E."""
NAMED = 0.5
"""Share of the queries that name the ecosystem."""
BOUGHT = 6
"""Most products that are bought after one query."""
BOUGHT_SHARES = (0.8, 0.1, 0.05, 0.05)
"""Chances that a bought product is exact, a substitute, a complement, or irrelevant: purchases have noise."""
_TRIES = 12


@dataclass(frozen=True)
class Queries:
    """Queries and what they want; every array is (q,).

    Attributes:
        number: Number of the query, 0 to `QUERIES_PER_PRODUCT` · size − 1.
        region: Position in `REGIONS`.
        kind, ecosystem: Shelf that it wants.
        named: True if its text names the ecosystem.
        known: True if it has been followed by a purchase.
    """

    number: Ints
    region: Ints
    kind: Ints
    ecosystem: Ints
    named: Flags
    known: Flags


def query_count(layout: Layout) -> int:
    """Return the number of queries."""
    return QUERIES_PER_PRODUCT * layout.size


def queries_at(layout: Layout, number: Ints) -> Queries:
    """Draw the queries of these numbers, (q,)."""
    seed = layout.seed
    bounds = np.cumsum([region.share for region in REGIONS])[:-1]
    region = np.searchsorted(bounds, uniform(seed, "query region", number), side="right")
    market = np.array([each.marketplace for each in REGIONS])[region]
    # Customers mostly search what their own shop sells: the first of some shelves whose home it is.
    tries = np.arange(_TRIES)[None, :]
    kind = integers(seed, "query type", len(layout.types), number[:, None], tries)
    share = uniform(seed, "query ecosystem", number[:, None], tries)
    ecosystem = (share * layout.ecosystems[kind]).astype(np.int64)
    first = index_of(layout, kind, ecosystem, np.zeros_like(kind)).ravel()
    home = products_at(layout, first).home.reshape(kind.shape)
    chosen = np.argmax(home == market[:, None], axis=1)
    row = np.arange(len(number))
    known = np.array([each.known for each in REGIONS])[region]
    return Queries(
        number=number,
        region=region,
        kind=kind[row, chosen],
        ecosystem=ecosystem[row, chosen],
        named=uniform(seed, "query named", number) < NAMED,
        known=uniform(seed, "query known", number) < known,
    )


def judgements(layout: Layout, queries: Queries) -> tuple[Ints, Ints, Ints]:
    """Draw the judged products of these queries.

    Returns:
        Position of the query, product and label (position in `LABELS`), (j,) each; no pair comes twice.
    """
    position, turn = _turns(queries, JUDGED)
    label = _label(uniform(layout.seed, "judged label", queries.number[position], turn), CLASS_SHARES)
    product = _products_of(layout, queries, position, turn, label, "judged")
    return position, product, label


def purchases(layout: Layout, queries: Queries) -> tuple[Ints, Ints, Ints]:
    """Draw the purchases after these queries; most have none in the sparse regions.

    Returns:
        Position of the query, product and count, (p,) each; a pair may come twice. Cold products are never bought.
    """
    position, turn = _turns(queries, BOUGHT)
    number = queries.number[position]
    label = _label(uniform(layout.seed, "bought label", number, turn), BOUGHT_SHARES)
    product = _products_of(layout, queries, position, turn, label, "bought")
    bought = 1 + integers(layout.seed, "bought products", BOUGHT, queries.number)
    kept = queries.known[position] & (turn < bought[position]) & ~is_cold(layout, product)
    count = 1 + (4 * uniform(layout.seed, "bought count", number, turn) ** 3).astype(np.int64)
    return position[kept], product[kept], count[kept]


def linked(layout: Layout) -> NDArray[np.bool_]:
    """Return which types are bought for each other, in either direction, (T, T)."""
    either = np.zeros((len(layout.types), len(layout.types)), bool)
    base, link = np.nonzero(layout.strength > 0)
    either[base, layout.accessory[base, link]] = True
    return either | either.T


def _turns(queries: Queries, turns: int) -> tuple[Ints, Ints]:
    return np.repeat(np.arange(len(queries.number)), turns), np.tile(np.arange(turns), len(queries.number))


def _label(share: NDArray[np.float64], shares: tuple[float, ...]) -> Ints:
    return np.searchsorted(np.cumsum(shares)[:-1], share, side="right").astype(np.int64)


def _products_of(
    layout: Layout, queries: Queries, position: Ints, turn: Ints, label: Ints, stream: str
) -> Ints:
    """Return a product of each label for each query, (n,); those of different turns differ."""
    number, kind, ecosystem = (
        values[position] for values in (queries.number, queries.kind, queries.ecosystem)
    )
    # Offsets are drawn once a query and go on by turn, so that nothing is drawn twice.
    offset = [
        integers(layout.seed, f"{stream} {what}", 1 << 30, number) for what in ("shelf", "rank", "type")
    ]
    others = layout.ecosystems[kind] - 1
    elsewhere = (ecosystem + 1 + (offset[0] + turn) % np.maximum(others, 1)) % layout.ecosystems[kind]
    accessory = _nth_linked(layout, kind, offset[2])
    foreign = _nth_foreign(layout, kind, offset[2] + turn)
    kind = np.choose(label, [kind, kind, accessory, foreign])
    ecosystem = np.choose(label, [ecosystem, elsewhere, ecosystem, offset[0] % layout.ecosystems[foreign]])
    rank = (offset[1] + turn) % shelf_size(layout, kind, ecosystem)
    return index_of(layout, kind, ecosystem, rank)


def _nth_linked(layout: Layout, kind: Ints, number: Ints) -> Ints:
    """Return a type that is bought for or with each of these, chosen by number."""
    table = linked(layout)
    order = np.argsort(~table, axis=1, kind="stable")
    return np.asarray(order[kind, number % table.sum(axis=1)[kind]])


def _nth_foreign(layout: Layout, kind: Ints, number: Ints) -> Ints:
    """Return a type of another world, chosen by number."""
    foreign = layout.world[:, None] != layout.world[None, :]
    order = np.argsort(~foreign, axis=1, kind="stable")
    return np.asarray(order[kind, number % foreign.sum(axis=1)[kind]])


def language_of(region: int) -> str:
    """Return the language in which a region searches."""
    return vocabulary.MARKETPLACES[REGIONS[region].marketplace].language


def wanted_label(layout: Layout, queries: Queries, position: Ints, product: Ints) -> Ints:
    """Return the true label of any pair of query and product, (n,), as positions in `LABELS`."""
    places = places_of(layout, product)
    kind, ecosystem = queries.kind[position], queries.ecosystem[position]
    same_kind, same_ecosystem = places.type == kind, places.ecosystem == ecosystem
    complement = linked(layout)[kind, places.type] & same_ecosystem
    return np.where(same_kind & same_ecosystem, 0, np.where(same_kind, 1, np.where(complement, 2, 3)))
