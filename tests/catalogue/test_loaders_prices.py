import duckdb
import pytest

from twinvec.catalogue.loaders.prices import price_of


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("9.49", 9.49),
        ("$1,299.00", 1299.0),
        ("$1,234,567", 1234567.0),
        ("$5.00 - $9.00", 5.0),
        ("from 14.99", 14.99),
        (" €12 ", 12.0),
        ("USD 12.50", 12.5),
        (".99", 0.99),
        ("1e-05", 1e-05),
        ("0", 0.0),
        ("-3.5", -3.5),
        ("-$3.50", -3.5),
        ("$-3.50", -3.5),
        ("12,50", None),
        ("1,29.00", None),
        (".a-box-inner{background-color:#fff}#alohaBuyBoxWidget .selected", None),
        ("—", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("$", None),
        ("5 apples", None),
        (None, None),
    ],
)
def test_price_of(text: str | None, price: float | None) -> None:
    query = f"SELECT {price_of('price')} FROM (SELECT $text::VARCHAR AS price)"
    assert duckdb.execute(query, {"text": text}).fetchall() == [(price,)]
