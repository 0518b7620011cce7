"""Data contracts: the conditions, as SQL, that a row meets to enter a snapshot."""

from __future__ import annotations

UNKNOWN_PRODUCT = "unknown product"
UNKNOWN_QUERY = "unknown query"
SELF_PAIR = "product paired with itself"
# A source lists much that is not in its catalogue: such rows are left out and counted, but are no errors.
LEFT_OUT = (UNKNOWN_PRODUCT, UNKNOWN_QUERY, SELF_PAIR)
# Tables whose rows other tables name → the key, and the table of the keys that were admitted.
NAMED = {"products": ("product_id", "known"), "queries": ("query_id", "known_queries")}

Rule = tuple[str, str]

_PAIRS: tuple[Rule, ...] = (
    ("no source", "coalesce(source, '') = ''"),
    ("no target", "coalesce(target, '') = ''"),
    ("count is not positive", "count IS NULL OR count < 1"),
    (SELF_PAIR, "source = target"),
    (
        UNKNOWN_PRODUCT,
        "source NOT IN (SELECT product_id FROM known) OR target NOT IN (SELECT product_id FROM known)",
    ),
)


def _events(key: str) -> tuple[Rule, ...]:
    return (
        (f"no {key}", f"coalesce({key}, '') = ''"),
        ("no product_id", "coalesce(product_id, '') = ''"),
        (UNKNOWN_PRODUCT, "product_id NOT IN (SELECT product_id FROM known)"),
    )


_OF_A_QUERY: tuple[Rule, ...] = (
    *_events("query_id"),
    (UNKNOWN_QUERY, "query_id NOT IN (SELECT query_id FROM known_queries)"),
)

# Table → (reason, condition under which a row is refused for it); the first that holds is given.
RULES: dict[str, tuple[Rule, ...]] = {
    "products": (
        ("no product_id", "coalesce(trim(product_id), '') = ''"),
        ("negative price", "price < 0"),
        ("price is not finite", "NOT isfinite(price)"),
        ("no category list", "category IS NULL"),
        ("no marketplace", "coalesce(marketplace, '') = ''"),
    ),
    "orders": _events("order_id"),
    "views": _events("session_id"),
    "offers": _events("seller_id"),
    "interactions": (*_events("customer_id"), ("count is not positive", "count IS NULL OR count < 1")),
    "queries": (
        ("no query_id", "coalesce(query_id, '') = ''"),
        ("no text", "coalesce(trim(text), '') = ''"),
        ("no locale", "coalesce(locale, '') = ''"),
        ("split is not train or test", "split NOT IN ('train', 'test')"),
    ),
    "judgements": (
        *_OF_A_QUERY,
        ("no locale", "coalesce(locale, '') = ''"),
        ("label is not E, S, C or I", "label IS NULL OR label NOT IN ('E', 'S', 'C', 'I')"),
    ),
    "query_purchases": (*_OF_A_QUERY, ("count is not positive", "count IS NULL OR count < 1")),
    "copurchase": _PAIRS,
    "coview": _PAIRS,
}


def verdict(table: str) -> str:
    """Return SQL for why a staged row of `table` is refused: what its loader says, else the first rule it breaks."""
    rules = "".join(f" WHEN {condition} THEN '{reason}'" for reason, condition in RULES[table])
    return f"CASE WHEN reason IS NOT NULL THEN reason{rules} END"
