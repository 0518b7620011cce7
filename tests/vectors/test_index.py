"""The contract every home of the vectors keeps: Edge, qdrant-client in memory, a server if there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.vectors.conftest import Catalogue
from twinvec.errors import NotFoundError, StateError, StoreError
from twinvec.vectors import CollectionConfig, Filters, Hit, VectorIndex, point_id

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs")


def load(index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue) -> None:
    index.create(collection, config)
    for batch in catalogue.batches():
        index.upsert(collection, batch)
    index.build(collection)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.product_id for hit in hits]


def own_id(catalogue: Catalogue, row: int) -> str:
    return point_id(catalogue.marketplace[row], catalogue.product_id[row])


def test_exact_search_is_the_dot_product_with_every_target(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    load(index, collection, config, catalogue)
    assert index.count(collection) == len(catalogue.product_id)
    rows = [0, 17, 300]
    found = index.search(collection, catalogue.source[rows], 10, exact=True)
    for row, hits in zip(rows, found, strict=True):
        expected, scores = catalogue.best(row, 10)
        assert ids(hits) == expected
        np.testing.assert_allclose([hit.score for hit in hits], scores, rtol=1e-5)


def test_payload_comes_back_whole(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    load(index, collection, config, catalogue)
    [[hit]] = index.search(collection, catalogue.source[:1], 1, exact=True)
    row = catalogue.product_id.index(hit.product_id)
    assert hit.payload == {
        "product_id": hit.product_id,
        "title": f"Título {hit.product_id}",
        "category": catalogue.category[row],
        "price": catalogue.price[row],
        "marketplace": catalogue.marketplace[row],
        "currency": None,
        "brand": None,
        "image": None,
        "release": "related_products__v1",
    }


def test_both_vectors_survive_a_second_upsert_and_points_do_not_double(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    load(index, collection, config, catalogue)
    changed = replace(catalogue, target=catalogue.target[::-1].copy())
    for batch in changed.batches(50):
        index.upsert(collection, batch)
    index.build(collection)
    assert index.count(collection) == len(catalogue.product_id)
    rows = [5, 0, 336]
    source, target = index.vectors(collection, [own_id(catalogue, row) for row in rows])
    assert source.dtype == target.dtype == np.float32
    np.testing.assert_array_equal(source, catalogue.source[rows])
    np.testing.assert_array_equal(target, changed.target[rows])


@pytest.mark.parametrize(
    "filters",
    [
        Filters(category=("Boots",)),
        Filters(category=("Boots", "Hats"), marketplace=("es",)),
        Filters(category=("All",)),
        Filters(min_price=20.0, max_price=60.5),
        Filters(max_price=50.0, marketplace=("us", "es")),
        Filters(category=("nothing",)),
        Filters(),
    ],
    ids=str,
)
def test_filters_agree_with_brute_force(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue, filters: Filters
) -> None:
    load(index, collection, config, catalogue)
    prices = np.array([np.nan if price is None else price for price in catalogue.price])
    allowed = np.ones(len(prices), bool)
    if filters.category:
        allowed &= [bool(set(path) & set(filters.category)) for path in catalogue.category]
    if filters.marketplace:
        allowed &= np.isin(catalogue.marketplace, filters.marketplace)
    if filters.min_price is not None:
        allowed &= prices >= filters.min_price
    if filters.max_price is not None:
        allowed &= prices <= filters.max_price
    [hits] = index.search(collection, catalogue.source[7:8], 20, filters, exact=True)
    assert ids(hits) == catalogue.best(7, 20, allowed)[0]
    allowed[7] = False
    related = index.related(collection, catalogue.product_id[7], 20, filters, ef=400)
    assert related is not None
    assert ids(related.hits) == catalogue.best(7, 20, allowed)[0]


def test_related_leaves_out_the_product_itself_even_when_it_is_its_own_best(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    catalogue.target[11] = catalogue.source[11] * 100
    load(index, collection, config, catalogue)
    index.switch_alias(f"{collection}_live", collection)
    everyone = np.arange(len(catalogue.product_id)) != 11
    for name in (collection, f"{collection}_live"):
        found = index.related(name, "B00011", 10)
        expected, scores = catalogue.best(11, 10, everyone)
        assert found is not None
        assert ids(found.hits) == expected
        np.testing.assert_allclose(np.array([hit.score for hit in found.hits]), scores, rtol=1e-5)
        assert found.payload == catalogue.points().payloads[11]


def test_the_same_product_id_in_two_marketplaces_is_two_points(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    twice = replace(catalogue, marketplace=["us"] * 337), replace(catalogue, marketplace=["es"] * 337)
    index.create(collection, config)
    for half in twice:
        index.upsert(collection, half.points(0, 40))
    assert index.count(collection) == 80
    # Asked for by the id they share, one of them answers; the other is found like any product.
    catalogue.target[3] = catalogue.source[3] * 100
    for half in twice:
        index.upsert(collection, replace(half, target=catalogue.target).points(0, 40))
    found = index.related(collection, "B00003", 5)
    assert found is not None
    other = {"us": "es", "es": "us"}[found.payload["marketplace"]]
    assert [(hit.product_id, hit.payload["marketplace"]) for hit in found.hits][:1] == [("B00003", other)]


def test_a_product_is_found_in_a_rare_marketplace_and_in_one_that_came_later(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    """More marketplaces than are looked into first, and one more that nothing was in when it was looked."""
    markets = [f"m{row % 6}" if row < 60 else "m0" for row in range(337)]
    shop = replace(catalogue, marketplace=markets)
    load(index, collection, config, replace(shop, marketplace=["m0"] * 337))
    first = index.related(collection, "B00000", 1)
    assert first is not None
    assert first.payload["marketplace"] == "m0"
    moved = f"{collection}_2"
    load(index, moved, config, shop)
    for row in range(12):
        found = index.related(moved, f"B{row:05d}", 10)
        assert found is not None
        assert found.payload["marketplace"] == f"m{row % 6}"
        assert ids(found.hits) == [each for each in shop.best(row, 11)[0] if each != f"B{row:05d}"][:10]
    late = replace(shop, marketplace=["late"] * 337, product_id=[f"L{row}" for row in range(337)])
    index.upsert(moved, late.points(0, 2))
    index.build(moved)
    payload, last = index.find(moved, "L1"), index.related(moved, "L1", 3)
    assert payload is not None
    assert last is not None
    assert payload["marketplace"] == "late"
    assert last.payload["product_id"] == "L1"


def test_what_does_not_exist_is_named(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    queries = catalogue.source[:1]
    for call in (
        lambda: index.search("test_nowhere", queries, 1),
        lambda: index.count("test_nowhere"),
        lambda: index.metadata("test_nowhere"),
        lambda: index.upsert("test_nowhere", catalogue.points(0, 1)),
        lambda: index.drop("test_nowhere"),
        lambda: index.switch_alias("test_alias", "test_nowhere"),
    ):
        with pytest.raises(NotFoundError, match="test_nowhere"):
            call()
    assert "test_alias" not in index.aliases()
    load(index, collection, config, catalogue)
    stranger = point_id("us", "never published")
    assert index.related(collection, "never published", 3) is None
    assert index.find(collection, "never published") is None
    with pytest.raises(NotFoundError, match=stranger):
        index.vectors(collection, [own_id(catalogue, 0), stranger])


def test_creating_again_keeps_the_points_and_refuses_another_config(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    load(index, collection, config, catalogue)
    index.create(collection, config)
    assert index.count(collection) == len(catalogue.product_id)
    for other in (replace(config, dimension=14), replace(config, m=8), replace(config, metadata={"a": "b"})):
        with pytest.raises(StoreError, match="exists already, with"):
            index.create(collection, other)
    assert index.metadata(collection) == config.metadata


def test_a_vector_of_another_length_is_refused(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    index.create(collection, config)
    short = replace(catalogue, source=catalogue.source[:, :5], target=catalogue.target[:, :5])
    with pytest.raises(StoreError, match=collection):
        index.upsert(collection, short.points(0, 10))


def test_an_alias_moves_whole_and_its_collection_cannot_be_dropped(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    first, second, alias = f"{collection}_1", f"{collection}_2", f"{collection}_live"
    load(index, first, config, catalogue)
    turned = replace(catalogue, target=-catalogue.target)
    load(index, second, replace(config, metadata={"manifest": "two"}), turned)
    for name, held, manifest in ((first, catalogue, "0123456789abcdef"), (second, turned, "two")) * 2:
        index.switch_alias(alias, name)
        assert index.aliases()[alias] == name
        assert index.metadata(alias)["manifest"] == manifest
        [hits] = index.search(alias, catalogue.source[3:4], 5, exact=True)
        assert ids(hits) == held.best(3, 5)[0]
    with pytest.raises(StateError, match=f"live as {alias}"):
        index.drop(second)
    index.drop(first)
    assert first not in index.collections()
    assert second in index.collections()
    assert index.count(alias) == len(catalogue.product_id)
    with pytest.raises(NotFoundError):
        index.search(first, catalogue.source[:1], 1)
    load(index, first, config, turned)
    assert index.count(first) == len(catalogue.product_id)


def test_insert_adds_what_is_missing_and_changes_nothing(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    index.create(collection, config)
    index.insert(collection, catalogue.points(0, 200))
    index.build(collection)
    late = replace(catalogue, source=-catalogue.source, target=-catalogue.target, price=[7.0] * 337)
    index.insert(collection, late.points(100, 300))
    index.build(collection)
    assert index.count(collection) == 300
    _, target = index.vectors(collection, [own_id(catalogue, row) for row in (150, 199, 200, 299)])
    np.testing.assert_array_equal(target[:2], catalogue.target[[150, 199]])
    np.testing.assert_array_equal(target[2:], late.target[[200, 299]])
    payload = index.find(collection, "B00150")
    assert payload is not None
    assert payload["price"] == catalogue.price[150]


def test_pages_give_every_point_once(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    load(index, collection, config, catalogue)
    found = list(index.pages(collection, 50))
    assert all(len(ids) <= 50 for ids, _, _ in found)
    stored = {
        id_: (s, t) for ids, source, target in found for id_, s, t in zip(ids, source, target, strict=True)
    }
    assert sum(len(ids) for ids, _, _ in found) == len(stored) == 337
    for row in (0, 50, 336):
        source, target = stored[own_id(catalogue, row)]
        np.testing.assert_array_equal(source, catalogue.source[row])
        np.testing.assert_array_equal(target, catalogue.target[row])


def test_notes_change_and_are_no_part_of_what_the_collection_is(
    index: VectorIndex, collection: str, config: CollectionConfig, catalogue: Catalogue
) -> None:
    load(index, collection, config, catalogue)
    assert index.notes(collection) == {}
    assert index.search_ef(collection) is None
    index.annotate(collection, {"attempt": "1"})
    index.annotate(collection, {"ef": "256"})
    index.annotate(collection, {"attempt": "2"})
    index.switch_alias(f"{collection}_live", collection)
    assert index.notes(f"{collection}_live") == {"attempt": "2", "ef": "256"}
    assert index.search_ef(collection) == 256
    assert index.metadata(collection) == config.metadata
    index.create(collection, config)
    assert index.count(collection) == 337
