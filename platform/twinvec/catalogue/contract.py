"""Data contracts: the conditions, as SQL, that a row meets to enter a snapshot."""

from __future__ import annotations

UNKNOWN_PRODUCT = "unknown product"
UNKNOWN_QUERY = "unknown query"
SELF_PAIR = "product paired with itself"
COPY = "exact copy of another row"
EMPTY = "row without any id"
RETURN = "cancelled or returned"
EXCLUDED = "excluded by ingest.exclude"
TOO_LONG_ID = "id of more than 1,000 characters"
# Rows that are no errors of the source, which lists much that is not in its catalogue: left out and counted.
LEFT_OUT = (UNKNOWN_PRODUCT, UNKNOWN_QUERY, SELF_PAIR, COPY, EMPTY, RETURN, EXCLUDED)
PAIRS = ("copurchase", "coview")
# Tables whose rows other tables name → the key, and the table of the keys that were admitted.
NAMED = {"products": ("product_id", "known"), "queries": ("query_id", "known_queries")}

# Languages by ISO 639-1, and `und` where the source does not say.
_CODES = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
    en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
    ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
    nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so
    sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk und ur uz ve vi vo wa wo xh yi yo za zh zu
"""
LANGUAGES = tuple(_CODES.split())

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
    "listings": (
        ("no item_id", "coalesce(trim(item_id), '') = ''"),
        ("no product_id", "coalesce(trim(product_id), '') = ''"),
        (UNKNOWN_PRODUCT, "product_id NOT IN (SELECT product_id FROM known)"),
        ("no marketplace", "coalesce(marketplace, '') = ''"),
        ("no language", "coalesce(language, '') = ''"),
        ("unknown language", f"lower(language) NOT IN ({', '.join(map(repr, LANGUAGES))})"),
    ),
    "copurchase": _PAIRS,
    "coview": _PAIRS,
}


def verdict(table: str) -> str:
    """Return SQL for why a staged row of `table` is refused: what its loader says, else the first rule it breaks."""
    rules = "".join(f" WHEN {condition} THEN '{reason}'" for reason, condition in RULES[table])
    return f"CASE WHEN reason IS NOT NULL THEN reason{rules} END"
