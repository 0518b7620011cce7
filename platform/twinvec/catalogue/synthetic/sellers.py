"""Sellers who offer products, and customers who look at them and buy them, in the shape of a soft cold start.

Most products are candidates: none has ten offers or more, most have a few and some none, as in Table 1 of WAML; the
others are offered widely. A seller has a niche, some ecosystems of one world, which most of its offers are of; within
a niche a few sellers have most offers and many have next to none. A customer makes some of the visits that
`behaviour` draws, baskets and sessions alike; a few customers make very many. Streams are this module's own, so that a
store is otherwise the same with these tables as without.
"""

from __future__ import annotations

import numpy as np

from twinvec.catalogue.synthetic.behaviour import PER_PRODUCT, baskets, sessions
from twinvec.catalogue.synthetic.layout import Layout, places_of
from twinvec.catalogue.synthetic.products import Flags
from twinvec.draws import Ints, integers, uniform, zipf

WIDELY_OFFERED = 0.3
"""Share of products that are no candidates."""
NO_OFFER, FEW_OFFERS = 0.142, 0.479
"""Shares of the candidates with no offer and with one to three; the others have four to nine (WAML, Table 1)."""
MOST_OFFERS = 50
"""A product has fewer."""
HOME_SHARE = 0.7
"""Chance that an offer is by a seller of the product's niche, against any seller."""
SELLER_EXPONENT = 0.75
NICHE_SELLERS = 100
"""Sellers of a niche, about."""
CUSTOMERS_PER_PRODUCT = 2
CUSTOMER_EXPONENT = 0.5


def seller_count(layout: Layout) -> int:
    """Return the number of sellers, S; some of them offer nothing."""
    return layout.size


def niche_of(layout: Layout, product: Ints) -> Ints:
    """Return the niche of each product, 0 to `niche_count` − 1: its world and the group of its ecosystem."""
    places, groups = places_of(layout, product), niche_count(layout) // len(layout.worlds)
    return np.asarray(layout.world[places.type] * groups + places.ecosystem % groups)


def niche_count(layout: Layout) -> int:
    """Return the number of niches; seller s is in niche s modulo this number."""
    worlds = len(layout.worlds)
    return worlds * max(1, seller_count(layout) // (NICHE_SELLERS * worlds))


def offers(layout: Layout, product: Ints) -> tuple[Ints, Ints]:
    """Draw the offers of these products, (n,) indices.

    Returns:
        Sellers, 0 to S − 1, and products, (offers,) each; no seller offers a product twice.
    """
    count = _offer_counts(layout, product)
    key, slot = product[:, None], np.arange(2 * MOST_OFFERS)[None, :]
    sellers, niches = seller_count(layout), niche_count(layout)
    niche = niche_of(layout, product)[:, None]
    share = uniform(layout.seed, "offer seller", key, slot)
    in_niche = (sellers - 1 - niche) // niches + 1
    at_home = niche + niches * zipf(share, in_niche, SELLER_EXPONENT)
    anyone = zipf(share, np.asarray(sellers), SELLER_EXPONENT)
    chosen = np.where(uniform(layout.seed, "offer at home", key, slot) < HOME_SHARE, at_home, anyone)
    first = _is_first(chosen)
    row, column = np.nonzero(first & (np.cumsum(first, axis=1) <= count[:, None]))
    return chosen[row, column], product[row]


def interactions(layout: Layout, number: Ints) -> tuple[Ints, Ints]:
    """Draw who made these visits, and of what: (v,) numbers, 0 to 2 · `PER_PRODUCT` · size − 1.

    The first half of the numbers are baskets, the others sessions.

    Returns:
        Customers, 0 to `CUSTOMERS_PER_PRODUCT` · size − 1, and products, (lines,) each.
    """
    half = PER_PRODUCT * layout.size
    lines = [baskets(layout, number[number < half]), sessions(layout, number[number >= half] - half)]
    visit = np.concatenate([lines[0].owner, lines[1].owner + half])
    customers = np.asarray(CUSTOMERS_PER_PRODUCT * layout.size)
    customer = zipf(uniform(layout.seed, "customer", visit), customers, CUSTOMER_EXPONENT)
    return customer, np.concatenate([part.product for part in lines])


def _offer_counts(layout: Layout, product: Ints) -> Ints:
    """Return the number of offers of each product, (n,): ten or more if it is offered widely, fewer if a candidate."""
    kind, much = (uniform(layout.seed, stream, product) for stream in ("offer kind", "offer count"))
    # The powers give candidates the paper's mean of 2.8 offers.
    some = 4 + (6 * much**4).astype(np.int64)
    few = 1 + integers(layout.seed, "few offers", 3, product)
    of_candidate = np.where(kind < NO_OFFER, 0, np.where(kind < NO_OFFER + FEW_OFFERS, few, some))
    of_others = 10 + ((MOST_OFFERS - 10) * much**2).astype(np.int64)
    is_candidate = uniform(layout.seed, "offered widely", product) >= WIDELY_OFFERED
    return np.where(is_candidate, of_candidate, of_others)


def _is_first(values: Ints) -> Flags:
    """Return True where a value comes for the first time in its row; (n, m)."""
    order = np.argsort(values, axis=1, kind="stable")
    new = np.diff(np.take_along_axis(values, order, axis=1), axis=1, prepend=-1) != 0
    first: Flags = np.empty_like(new)
    np.put_along_axis(first, order, new, axis=1)
    return first
