"""The arithmetic a store stands on: draws, places, ids, attributes, and the accessory law."""

import numpy as np
import pytest

from twinvec.catalogue.synthetic.behaviour import accessory, baskets, choice_probability
from twinvec.catalogue.synthetic.layout import (
    Layout,
    Places,
    index_of,
    places_of,
    plan,
    product_ids,
    row_order,
    shelf_size,
    style_size,
)
from twinvec.catalogue.synthetic.products import products_at
from twinvec.draws import normal, uniform, zipf, zipf_probability
from twinvec.errors import CatalogueError


@pytest.fixture(params=[200, 500, 2_003, 20_011])
def layout(request: pytest.FixtureRequest) -> Layout:
    return plan(request.param, seed=7)


def test_draws_are_uniform_and_streams_independent() -> None:
    keys = np.arange(100_000)
    one, other, next_seed = uniform(0, "a", keys), uniform(0, "b", keys), uniform(1, "a", keys)
    counts = np.histogram(one, bins=20, range=(0, 1))[0]
    assert ((counts - 5_000) ** 2 / 5_000).sum() < 44  # chi-squared of 19 degrees: 99.9%
    assert abs(np.corrcoef([one, other, next_seed, np.roll(one, 1)])[0, 1:]).max() < 0.015
    assert abs(normal(0, "c", keys).mean()) < 0.02
    assert normal(0, "c", keys).std() == pytest.approx(1.0, abs=0.02)


def test_zipf_gives_each_rank_its_probability() -> None:
    ranks = zipf(uniform(0, "z", np.arange(200_000)), np.full(200_000, 7), 0.6)
    seen = np.bincount(ranks, minlength=7) / len(ranks)
    assert np.abs(seen - zipf_probability(np.arange(7), np.full(7, 7), 0.6)).max() < 0.005


def test_every_index_has_one_place(layout: Layout) -> None:
    index = np.arange(layout.size)
    places = places_of(layout, index)
    assert layout.count.sum() == layout.size
    np.testing.assert_array_equal(index_of(layout, places.type, places.ecosystem, places.rank), index)
    shelves, members = np.unique(np.stack([places.type, places.ecosystem]), axis=1, return_counts=True)
    np.testing.assert_array_equal(shelf_size(layout, shelves[0], shelves[1]), members)
    groups = np.stack([places.type, places.ecosystem, places.group])
    _, which, members = np.unique(groups, axis=1, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(style_size(layout, places), members[which])
    assert members.min() >= 4


def test_ids_and_rows_are_one_to_one(layout: Layout) -> None:
    index = np.arange(layout.size)
    assert len(np.unique(product_ids(layout, index))) == layout.size
    assert {len(each) for each in product_ids(layout, index[:50])} == {9}
    np.testing.assert_array_equal(np.sort(row_order(layout, index)), index)
    assert len(np.unique(places_of(layout, row_order(layout, index[:40])).type)) > 8


def test_attributes_do_not_depend_on_the_batch(layout: Layout) -> None:
    some = np.random.default_rng(0).permutation(layout.size)[:97]
    whole, part = products_at(layout, np.arange(layout.size)), products_at(layout, some)
    for name in ("home", "sold_in", "titled", "brand", "shape", "pattern", "colour", "price", "cold"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[some], err_msg=name)


def test_baskets_do_not_depend_on_the_batch(layout: Layout) -> None:
    whole = baskets(layout, np.arange(120))
    parts = [baskets(layout, np.arange(first, first + 40)) for first in (0, 40, 80)]
    for name in ("owner", "product", "time"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_substitutes_differ_in_colour_and_share_the_style(layout: Layout) -> None:
    places = places_of(layout, np.arange(layout.size))
    products = products_at(layout, np.arange(layout.size))
    group = index_of(layout, places.type, places.ecosystem, places.group)
    assert len(np.unique(np.stack([group, products.colour]), axis=1).T) == layout.size
    looks = np.unique(np.stack([group, products.shape, products.pattern]), axis=1)
    assert looks.shape[1] == len(np.unique(group))


def test_accessories_are_chosen_with_the_probability_that_the_truth_states(layout: Layout) -> None:
    draws = 60_000
    for base_type, link in ((0, 0), (4, 1)):
        base = int(layout.start[base_type] + layout.ecosystems[base_type] * 2 + 1)
        kind = layout.accessory[base_type, link]
        place = places_of(layout, np.full(draws, base))
        chosen = accessory(layout, "test", np.arange(draws), place, np.full(draws, link))
        one = Places(**{name: values[:1] for name, values in vars(place).items()})
        ranks = np.arange(shelf_size(layout, kind, one.ecosystem)[0] + 3)
        expected = choice_probability(layout, one, np.full(len(ranks), kind), ranks)
        shelf = index_of(layout, np.full(len(ranks), kind), one.ecosystem, ranks)
        seen = np.where(expected > 0, [(chosen == product).mean() for product in shelf], 0.0)
        assert expected.sum() == pytest.approx(1.0)
        assert seen.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(seen, expected, atol=0.01)


def test_too_small_a_store_is_refused() -> None:
    with pytest.raises(CatalogueError, match="199 products is too small") as caught:
        plan(199, seed=0)
    assert "at least 200" in caught.value.hint
