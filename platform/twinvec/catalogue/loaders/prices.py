"""Prices as shops write them, read in SQL so that every format reads them alike."""

from __future__ import annotations

# An optional sign, currency sign and "from"; a number whose commas part thousands; perhaps a range, of which
# the low end counts. A comma for the decimals is not read: nobody could tell "1,299" from it.
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d+)?"
_PRICE = rf"^\s*(?:from\s+)?(-?)\s*(?:[A-Z]{{3}}|[$£€¥])?\s*(-?)({_NUMBER})(?:\s*-\s*[$£€¥]?\s*[\d.,]+)?\s*$"


def price_of(column: str) -> str:
    """Return SQL for the number in the text `column`: NULL where there is none, negative where it says so."""
    sign = f"regexp_extract({column}, '{_PRICE}', 1) || regexp_extract({column}, '{_PRICE}', 2)"
    number = f"TRY_CAST(replace(regexp_extract({column}, '{_PRICE}', 3), ',', '') AS DOUBLE)"
    return f"CASE WHEN {sign} = '-' THEN -{number} ELSE {number} END"
