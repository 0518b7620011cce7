from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twinvec.errors import NotFoundError, StateError
from twinvec.serving.related import UnknownProductError
from twinvec.vectors import Filters

ROWS = (0, 9, 100, 210)


@pytest.mark.parametrize("row", ROWS)
def test_answers_equal_brute_force(live: Any, row: int) -> None:
    for number in (1, 2):
        live.go_live(number)
        answer = live.recommender.related(live.ids[row], 17)
        assert answer.release == f"related_products__v{number}"
        assert [hit.product.product_id for hit in answer.hits] == live.best(number, row, 17)
        scores = [
            live.target[number - 1][live.ids.index(hit.product.product_id)] @ live.source[number - 1][row]
            for hit in answer.hits
        ]
        assert [hit.score for hit in answer.hits] == pytest.approx(scores, rel=1e-5)


@pytest.mark.parametrize("row", ROWS)
def test_filters_choose_among_targets_only(live: Any, row: int) -> None:
    filters = Filters(category=("Hats", "Bags"), marketplace=("es",), min_price=10, max_price=60)
    allowed = np.isin(live.category, ["Hats", "Bags"]) & (live.marketplace == "es")
    allowed &= (live.price >= 10) & (live.price <= 60)
    answer = live.recommender.related(live.ids[row], 8, filters)
    assert [hit.product.product_id for hit in answer.hits] == live.best(1, row, 8, allowed)
    nothing = live.recommender.related(live.ids[row], 8, Filters(min_price=1000))
    assert nothing.hits == ()


def test_products_come_with_what_is_known_of_them(live: Any) -> None:
    unpriced = int(np.flatnonzero(np.isnan(live.price))[0])
    for row in (9, 10, unpriced):
        product = live.recommender.related(live.ids[row], 1).product
        assert product.product_id == live.ids[row]
        assert product.title == (f"thing {live.ids[row]}" if row % 9 else None)
        assert product.category == ("All", live.category[row])
        assert product.marketplace == live.marketplace[row]
        assert product.price == (None if row == unpriced else live.price[row])


def test_an_unknown_product_is_named(live: Any) -> None:
    with pytest.raises(UnknownProductError, match=r"'b0001' is not among the 211 of related_products__v1"):
        live.recommender.related("b0001")
    assert live.index.find("related_products", "b0001") is None
    with pytest.raises(NotFoundError, match="nowhere"):
        live.index.find("nowhere", "B0001")


def test_no_live_release_is_explained(live: Any) -> None:
    other = replace(live.recommender, release="other")
    for call in (lambda: other.related("B0001"), other.live):
        with pytest.raises(StateError, match="no release of other is live") as caught:
            call()
        assert "twinvec promote" in caught.value.hint


def test_the_live_release_is_described_by_its_own_index(live: Any) -> None:
    release = live.recommender.live()
    assert (release.name, release.collection, release.products) == (
        "related_products",
        "related_products__v1",
        211,
    )
    assert dict(release.metadata) == {"version": "related@v1", "manifest": "0" * 15 + "1"}
