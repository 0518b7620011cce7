"""Cleaning of staged rows, the same for every format: missing values, bounds, and values that cannot be used.

One bad optional value costs the value and not the row. What it was is kept in the column `lost`, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from twinvec.catalogue.contract import EMPTY, EXCLUDED, TOO_LONG_ID
from twinvec.catalogue.loaders.times import in_range
from twinvec.catalogue.snapshot import identifier, quoted
from twinvec.columns import TABLES
from twinvec.text import INSTEAD, SEPARATOR

LONGEST_TITLE, LONGEST_NAME, LONGEST_ID, LONGEST_IMAGE, DEEPEST = 4_000, 500, 1_000, 16_000, 32
# `trim` alone knows only the blank.
SPACE = "concat(' ', chr(9), chr(10), chr(11), chr(12), chr(13), chr(160), chr(65279))"
IDS = (
    "product_id",
    "order_id",
    "session_id",
    "seller_id",
    "customer_id",
    "query_id",
    "item_id",
    "source",
    "target",
)
# Table → ids without any of which a row is no row: files of data frames end in such.
ROWS = {
    "orders": ("order_id", "product_id"),
    "views": ("session_id", "product_id"),
    "products": ("product_id",),
}


def text_of(column: str, missing: Sequence[str]) -> str:
    """Return SQL of a text without space around it: NULL if it is empty or one of the words for a missing value."""
    trimmed = f"trim({column}, {SPACE})"
    words = ", ".join(quoted(word.lower()) for word in ("", *missing))
    return f"CASE WHEN lower({trimmed}) NOT IN ({words}) THEN {trimmed} END"


def cleaned(
    table: str, query: str, present: Sequence[str], missing: Sequence[str], exclude: Sequence[str]
) -> str:
    """Return SQL of the staged rows of `query`, cleaned, with a column `lost` (VARCHAR[]).

    Args:
        table: Name of the table.
        query: Its staged rows.
        present: Columns of the query.
        missing: Words for missing values, in any case.
        exclude: Patterns of whole product ids that are no products.
    """
    wanted = TABLES[table].names
    columns, lost = {}, []

    def loses(condition: str, reason: str) -> None:
        lost.append(f"CASE WHEN {condition} THEN '{reason}' END")

    for name in wanted:
        if name in IDS:
            words = ", ".join(quoted(word.lower()) for word in missing)
            columns[name] = (
                f"CASE WHEN lower({name}) IN ({words}) THEN NULL ELSE {name} END" if missing else name
            )
    if table in ("products", "listings"):
        columns["category"] = _path("category", missing)
        columns["price"] = "CASE WHEN price >= 0 AND isfinite(price) THEN price END"
        columns |= {name: text_of(name, missing) for name in ("currency", "brand")}
        columns["image"] = f"CASE WHEN length(image) <= {LONGEST_IMAGE} THEN {text_of('image', missing)} END"
        columns["brand"] = f"left({columns['brand']}, {LONGEST_NAME})"
        loses("price < 0", "price is negative")
        loses("isinf(price)", "price is not finite")
        loses(f"length(image) > {LONGEST_IMAGE}", f"image of more than {LONGEST_IMAGE:,} characters")
        loses(f"len(category) > {DEEPEST}", f"category cut after {DEEPEST} levels")
        longest = f"len([name FOR name IN category IF length(name) > {LONGEST_NAME}]) > 0"
        loses(longest, f"category cut after {LONGEST_NAME} characters")
    if table == "products":
        columns["title"] = _titles(missing)
        longest = f"len([text FOR text IN map_values(title) IF length(text) > {LONGEST_TITLE}]) > 0"
        loses(longest, f"title cut after {LONGEST_TITLE:,} characters")
    if table == "listings":
        columns["title"] = f"left({text_of('title', missing)}, {LONGEST_TITLE})"
    if "time" in wanted:
        columns["time"] = in_range("time")
        loses("time IS NOT NULL AND " + in_range("time") + " IS NULL", "time out of range")
    told = "coalesce(lost, [])" if "lost" in present else "[]::VARCHAR[]"
    found = f"list_filter([{', '.join(lost) or 'NULL::VARCHAR'}], lambda each: each IS NOT NULL)"
    replaced = ", ".join(f"{value} AS {identifier(name)}" for name, value in columns.items())
    rest = "* EXCLUDE (lost)" if "lost" in present else "*"
    made = f"SELECT {rest} REPLACE ({replaced}), list_concat({told}, {found}) AS lost FROM ({query})"
    return f"SELECT * REPLACE ({_reason(table, wanted, exclude)} AS reason) FROM ({made})"


def _reason(table: str, wanted: Sequence[str], exclude: Sequence[str]) -> str:
    """Return SQL of why a row is refused, as far as it is the same for all tables."""
    ids = [name for name in IDS if name in wanted]
    cases = [f"WHEN reason IS NOT NULL THEN reason WHEN {_any_long(ids)} THEN '{TOO_LONG_ID}'"]
    if table in ("orders", "views"):
        nothing = " AND ".join(f"coalesce({name}, '') = ''" for name in ROWS[table])
        cases.append(f"WHEN {nothing} THEN '{EMPTY}'")
    if exclude and "product_id" in wanted:
        pattern = quoted("|".join(f"(?:{each})" for each in exclude))
        cases.append(f"WHEN regexp_full_match(product_id, {pattern}) THEN '{EXCLUDED}'")
    return f"CASE {' '.join(cases)} END"


def _any_long(ids: Sequence[str]) -> str:
    return " OR ".join(f"length({name}) > {LONGEST_ID}" for name in ids) or "false"


def _path(column: str, missing: Sequence[str]) -> str:
    name = f"left(replace({text_of('name', missing)}, '{SEPARATOR}', '{INSTEAD}'), {LONGEST_NAME})"
    named = f"list_transform(coalesce({column}, []), lambda name: {name})"
    return f"list_filter({named}, lambda name: name IS NOT NULL)[:{DEEPEST}]"


def _titles(missing: Sequence[str]) -> str:
    value = f"left({text_of('each.value', missing)}, {LONGEST_TITLE})"
    entries = (
        f"list_filter(list_transform(map_entries(title), lambda each: {{'key': each.key, 'value': {value}}}), "
        "lambda each: each.value IS NOT NULL)"
    )
    return f"CASE WHEN len({entries}) > 0 THEN map_from_entries({entries}) END"
