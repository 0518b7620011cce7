"""The tables of `twinvec related`, of answers that are made by hand."""

from __future__ import annotations

import pytest

from pipelines.command.query import print_related
from twinvec.serving.product import Product, RelatedProduct
from twinvec.serving.related import Related

CASE = Product("case", "Phone Case", ("Phones", "Cases"), 1013.5, "us", "USD")
NOBODY = Product(None, None, (), None, None)
PHONE = Product("phone", "Phone", ("Phones",), None, "us")


def printed(
    capsys: pytest.CaptureFixture[str], answer: Related, basket: tuple[str, ...] = ()
) -> list[list[str]]:
    print_related(answer, basket)
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_the_product_of_the_question_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    title, _, _, own, hit = printed(capsys, Related("v1", PHONE, (RelatedProduct(1.5, CASE),)))
    assert title == ["Related", "to", "Phone", "in", "v1"]
    assert own == ["–", "phone", "Phone", "Phones", "–"]
    assert hit == ["1.5000", "case", "Phone", "Case", "Phones", ">", "Cases", "1,013.50", "USD"]


def test_reasons_and_fields_have_columns_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    case = Product("case", "Case", (), None, "us", fields={"stock": 7})
    hits = (RelatedProduct(1.5, case, reasons={"text": 0.5, "price": -0.1}), RelatedProduct(1.0, case))
    _, names, _, own, first, second = printed(capsys, Related("v1", PHONE, hits))
    assert names[-2:] == ["why", "stock"]
    assert own[-2:] == ["–", "–"]
    assert first[-3:] == ["text", "+0.50", "7"]
    assert second[-2:] == ["–", "7"]


def test_a_basket_is_named_and_has_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Related("v1", NOBODY, (RelatedProduct(0.5, CASE),))
    title, _, _, *rows = printed(capsys, answer, ("phone", "tent"))
    assert title == ["Related", "to", "the", "basket", "of", "phone,", "tent", "in", "v1"]
    assert [row[1] for row in rows] == ["case"]


def test_an_empty_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, Related("v1", PHONE, ()))[0] == [
        "Nothing",
        "is",
        "related",
        "to",
        "Phone",
        "in",
        "v1",
    ]
