from __future__ import annotations

import base64
from typing import Any

import pytest

from twinvec.serving.choices import UnusableFilterError, check_filters
from twinvec.serving.http.parameters import decode_base64
from twinvec.serving.related import UnknownProductError
from twinvec.vectors import Filters


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(category=("Hats", "Hat")), "no product of related_products is of the category 'Hat'"),
        (Filters(marketplace=("us", "uk")), "no product of related_products is of the marketplace 'uk'"),
        (Filters(category=("\ud800",)), "category '.ud800'"),
        (Filters(min_price=10, max_price=9.5), "no price is 10 or more and 9.5 or less"),
        (Filters(max_price=float("nan")), "not a number"),
    ],
)
def test_what_no_product_can_meet_is_named(live: Any, filters: Filters, message: str) -> None:
    with pytest.raises(UnusableFilterError, match=message):
        check_filters(live.index, live.recommender.release, filters)


def test_a_path_is_told_to_be_named_by_its_last_level(live: Any) -> None:
    with pytest.raises(UnusableFilterError) as raised:
        check_filters(live.index, live.recommender.release, Filters(category=("All > Hats",)))
    assert "'Hats'" in raised.value.hint


def test_the_marketplaces_there_are_are_listed(live: Any) -> None:
    with pytest.raises(UnusableFilterError) as raised:
        check_filters(live.index, live.recommender.release, Filters(marketplace=("uss",)))
    there = sorted(live.index.values(live.recommender.release, "marketplace"))
    assert "us" in there
    assert raised.value.hint.endswith(f"did you mean us? there are: {', '.join(there)}")


def test_what_products_meet_passes(live: Any) -> None:
    check_filters(live.index, live.recommender.release, None)
    check_filters(live.index, live.recommender.release, Filters(("All", "Bags"), ("es",), 3, 3))
    check_filters(live.index, "no_such_release", Filters(("All",)))
    assert (
        live.index.count("related_products", Filters(category=("Bags",))) == (live.category == "Bags").sum()
    )


def test_an_id_that_is_no_text_is_unknown(live: Any) -> None:
    with pytest.raises(UnknownProductError, match="is not among"):
        live.recommender.related("B\udcff")


def test_base64_is_read_as_people_send_it() -> None:
    content = bytes(range(256))
    plain = base64.b64encode(content).decode()
    wrapped = base64.encodebytes(content).decode()
    safe = base64.urlsafe_b64encode(content).decode()
    for text in (plain, wrapped, safe, f"data:image/png;base64,{plain}"):
        assert decode_base64(text) == content
    for text in ("!!!!", "abc", "b'" + plain + "'", plain[:-1] + "*", "é"):
        with pytest.raises(ValueError, match="not base64"):
            decode_base64(text)


def test_a_name_with_the_separator_is_written_as_in_a_snapshot() -> None:
    assert Filters(category=("A > B", "C")).category == ("A › B", "C")
