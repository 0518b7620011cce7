"""Prices as shops write them, read in SQL so that every format reads them alike."""

from __future__ import annotations

from twinvec.catalogue.snapshot import quoted

# No price is longer; patterns take time in proportion to the text.
_LONGEST = 64
_SPACE = r"[\s\x{00a0}\x{2009}\x{202f}]"
_CODES = (
    "aed ars aud bdt bgn brl cad chf clp cny cop czk dkk egp eur gbp hkd huf idr ils inr jpy kes krw kwd lkr mad mxn "
    "myr ngn nok nzd pen php pkr pln qar rmb ron rub sar sek sgd thb try twd uah usd vnd zar"
)
# Signs and codes of currencies, before or after the number.
_SIGN = rf"(?:(?:us|a|au|c|ca|nz|hk|s|r|mx|nt)?\$|[£€¥₹₩₽₺₫₪]|rs\.?|kr\.?|zł|{_CODES.replace(' ', '|')})"
# A number with `.` for the decimals, and for others the same with the two exchanged. Thousands are parted by commas,
# apostrophes or spaces, in India after three digits by twos.
_NUMBER = (
    rf"(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}|\d{{1,3}}(?:['’]\d{{3}})+"
    rf"|\d{{1,3}}(?:{_SPACE}\d{{3}})+|\d+)?(?:\.\d+)?(?:e[+-]?\d+)?"
)
_FROM = r"(?:(?:starting\s+at|from|ab|as\s+low\s+as)\s+)?"
# Signs and words that tell a currency; codes tell themselves.
_TELLING = {
    r"us\$": "USD",
    r"(?:ca|c)\$": "CAD",
    r"(?:au|a)\$": "AUD",
    r"nz\$": "NZD",
    r"hk\$": "HKD",
    r"nt\$": "TWD",
    r"mx\$": "MXN",
    r"r\$": "BRL",
    r"s\$": "SGD",
    "€": "EUR",
    "£": "GBP",
    r"₹|\brs\b": "INR",
    "₩": "KRW",
    "₽": "RUB",
    "₺": "TRY",
    "₫": "VND",
    "₪": "ILS",
    "zł": "PLN",
    r"\brmb\b": "CNY",
}
# Signs of several currencies, none of them the dollar.
_OPEN = r"¥|kr\b"


def price_of(column: str, decimal: str = ".") -> str:
    """Return SQL for the number in the text `column`: NULL where there is none, negative where it says so.

    A currency's sign or code may stand before or after it, "from" before it. Of a range the low end counts.

    Args:
        column: SQL of the text.
        decimal: Sign of the decimals, `.` or `,`; the other one parts thousands, and nothing is guessed.
    """
    number = _NUMBER if decimal == "." else _exchanged(_NUMBER)
    high = rf"(?:{_SPACE}*(?:-|–|—|\bto\b|\bbis\b){_SPACE}*{_SIGN}?{_SPACE}*\d[\d.,]*)?"
    pattern = (
        rf"^{_SPACE}*{_FROM}([-−(]?){_SPACE}*{_SIGN}?{_SPACE}*([-−]?){_SPACE}*({number})"
        rf"{_SPACE}*{_SIGN}?{high}{_SPACE}*{_SIGN}?\)?{_SPACE}*$"
    )
    text = f"lower({column})"
    names = "['outer', 'inner', 'number']"
    found = f"regexp_extract({text}, {quoted(pattern)}, {names})"
    parted = f"regexp_replace(read.number, {quoted(rf'[{_other(decimal)}’]|{_SPACE}')}, '', 'g')"
    parted = f"replace({parted}, '''', '')"
    value = f"TRY_CAST({parted if decimal == '.' else f'replace({parted}, chr(44), chr(46))'} AS DOUBLE)"
    signed = f"CASE WHEN read.outer <> '' OR read.inner <> '' THEN -{value} ELSE {value} END"
    return (
        f"CASE WHEN length({column}) <= {_LONGEST} THEN "
        f"list_transform([{found}], lambda read: {signed})[1] END"
    )


def currency_of(column: str, dollar: str | None = None) -> str:
    """Return SQL for the ISO 4217 code of the currency in the text `column`; NULL where no sign or code tells one.

    Args:
        column: SQL of the text.
        dollar: Currency of a price without a sign or code, or with a plain `$`; none if not given.
    """
    text = f"lower({column})"
    codes = rf"(?:^|[^a-z])({_CODES.replace(' ', '|')})(?:[^a-z]|$)"
    code = f"upper(regexp_extract({text}, {quoted(codes)}, 1))"
    signs = " ".join(
        f"WHEN regexp_matches({text}, {quoted(pattern)}) THEN '{name}'" for pattern, name in _TELLING.items()
    )
    otherwise = f"WHEN NOT regexp_matches({text}, {quoted(_OPEN)}) THEN '{dollar}'" if dollar else ""
    return (
        f"CASE WHEN {column} IS NULL THEN {quoted(dollar) if dollar else 'NULL'} "
        f"WHEN length({column}) > {_LONGEST} THEN NULL {signs} WHEN {code} <> '' THEN {code} {otherwise} END"
    )


def evidence_against(column: str, decimal: str) -> str:
    """Return SQL of the number of prices that look as if written with the other decimal sign, less those with this.

    `12,50` and `1.299,00` speak for a comma. So does `1.299` unless the comma is what the user named: three decimals
    are rare, thousands are not.
    """
    this, other = ("[.]", ",") if decimal == "." else (",", "[.]")

    def count(pattern: str) -> str:
        return f"count(*) FILTER (WHERE length({column}) <= {_LONGEST} AND regexp_matches({column}, {quoted(pattern)}))"

    ours = count(rf"{this}\d{{1,2}}(\D|$)")
    thousands = rf"|\d{this}\d{{3}}(\D|$)" if decimal == "." else ""
    theirs = count(rf"{other}\d{{1,2}}(\D|$){thousands}")
    return f"{theirs} - {ours}"


def _other(decimal: str) -> str:
    return "," if decimal == "." else "."


def _exchanged(pattern: str) -> str:
    """Return the pattern of a number with comma and point exchanged."""
    return (
        pattern.replace(r"\.", "<point>")
        .replace(r"(?:,", r"(?:\.")
        .replace("+,", r"+\.")
        .replace("<point>", ",")
    )
