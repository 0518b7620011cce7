"""Column names, and the Parquet schemas of a snapshot's tables."""

from __future__ import annotations

import pyarrow as pa

PRODUCT_ID = "product_id"
SELLER_ID = "seller_id"
QUERY_ID = "query_id"
ITEM_ID = "item_id"
LOCALE = "locale"
NODE_ID = "node_id"
CATEGORY = "category"
EVENT_TIMESTAMP = "event_timestamp"

PRODUCTS = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        # Language (ISO 639-1, or `und` where the source does not say) → title.
        pa.field("title", pa.map_(pa.string(), pa.string())),
        # From the root to the leaf; empty if unknown.
        pa.field("category", pa.list_(pa.string()), nullable=False),
        pa.field("price", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("marketplace", pa.string(), nullable=False),
        pa.field("brand", pa.string()),
        # An fsspec URL or a path; a relative one starts at the snapshot's `image_root`.
        pa.field("image", pa.string()),
    ]
)
PAIRS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
ORDERS = pa.schema(
    [
        pa.field("order_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)
VIEWS = pa.schema(
    [
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)
OFFERS = pa.schema(
    [
        pa.field("seller_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
    ]
)
INTERACTIONS = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        # Views, clicks, purchases, all together.
        pa.field("count", pa.int64(), nullable=False),
    ]
)
QUERIES = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        # Region whose customers ask, such as `us`.
        pa.field("locale", pa.string(), nullable=False),
        # `train` or `test` where the source divides its queries; null where the seed does.
        pa.field("split", pa.string()),
    ]
)
JUDGEMENTS = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("locale", pa.string(), nullable=False),
        # E (exact), S (substitute), C (complement) or I (irrelevant).
        pa.field("label", pa.string(), nullable=False),
    ]
)
QUERY_PURCHASES = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
# A product in one store and one language. One product may have many, several in one language, too.
LISTINGS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        # Products that are the same but for a consistent difference, such as colour or size; null is a family of one.
        pa.field("family_id", pa.string()),
        pa.field("marketplace", pa.string(), nullable=False),
        # ISO 639-1, or `und`.
        pa.field("language", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("description", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("colour", pa.string()),
        pa.field("size", pa.string()),
        # Name → value of further attributes.
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
        pa.field("price", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("category", pa.list_(pa.string()), nullable=False),
        pa.field("image", pa.string()),
    ]
)
# A snapshot always has the first three tables, each of the others only if the source has it.
TABLES = {
    "products": PRODUCTS,
    "copurchase": PAIRS,
    "coview": PAIRS,
    "orders": ORDERS,
    "views": VIEWS,
    "offers": OFFERS,
    "interactions": INTERACTIONS,
    "queries": QUERIES,
    "judgements": JUDGEMENTS,
    "query_purchases": QUERY_PURCHASES,
    "listings": LISTINGS,
}
