"""Listings: one product in several stores and languages, and families of products.

A source may give a table `listings`. Where it does not, but its products come in several marketplaces or languages,
each row of a product is a listing of it. A snapshot without the table has one listing for each title of a product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from twinvec.errors import CatalogueError

if TYPE_CHECKING:
    from twinvec.catalogue.quarantine import Admission

CONTRADICTION = "another family than other listings of the product"
REPEATED = "duplicated item_id"
# One listing for each title of a product, with an id that the product's row alone decides.
OF_PRODUCTS = """
    SELECT concat(product_id, '@', marketplace, ':', each.key) AS item_id, product_id, {family} AS family_id,
           marketplace, each.key AS language, each.value AS title, NULL::VARCHAR AS description, brand,
           NULL::VARCHAR AS colour, NULL::VARCHAR AS size, MAP {{}}::MAP(VARCHAR, VARCHAR) AS attributes,
           price, currency, category, image {more}
    FROM (
        SELECT *, unnest(CASE WHEN cardinality(title) > 0 THEN map_entries(title)
                              ELSE [{{'key': 'und', 'value': NULL::VARCHAR}}] END) AS each
        FROM {products}
    )
"""
FIRST_FAMILY = """coalesce(nullif(first_value(family_id IGNORE NULLS) OVER (
    PARTITION BY product_id ORDER BY line ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
), ''), product_id)"""
VIEW = OF_PRODUCTS.format(products="products", family="product_id", more="")


def admit_of_products(connection: duckdb.DuckDBPyConnection) -> bool:
    """Make `admitted_listings` of all rows of products, if they come in several marketplaces, languages or families.

    A product with several rows keeps the price, the brand and so on of its first row, and gets the titles of all. A
    source names families in a column `family_id` of its products; the first that a product's rows name counts.

    Returns:
        True if there are such products.
    """
    families = _names_families(connection)
    several = "SELECT DISTINCT product_id FROM checked_products_once WHERE verdict IS NULL AND further"
    if not (families or connection.execute(f"SELECT EXISTS ({several})").fetchall()[0][0]):
        return False
    connection.execute(
        f"""CREATE VIEW admitted_listings AS {
            OF_PRODUCTS.format(
                products="(FROM checked_products_once WHERE verdict IS NULL)",
                family=FIRST_FAMILY if families else "product_id",
                more=", line",
            )
        } QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY line) = 1"""
    )
    connection.execute(
        f"""CREATE TABLE titles_of_all AS
           SELECT product_id, map_from_entries(list({{'key': key, 'value': value}} ORDER BY key)) AS title FROM (
               SELECT product_id, each.key AS key, arg_min(each.value, line) AS value FROM (
                   SELECT product_id, line, unnest(map_entries(title)) AS each FROM checked_products_once
                   WHERE verdict IS NULL AND product_id IN ({several})
               ) GROUP BY ALL
           ) GROUP BY ALL"""
    )
    connection.execute(
        """CREATE OR REPLACE VIEW admitted_products AS
           SELECT each.* REPLACE (coalesce(titles_of_all.title, each.title) AS title)
           FROM (FROM checked_products_once WHERE verdict IS NULL AND NOT further) AS each
           LEFT JOIN titles_of_all USING (product_id)"""
    )
    return True


def _names_families(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the source names a family of some product."""
    described = connection.execute("DESCRIBE checked_products_once").fetchall()
    if "family_id" not in (row[0] for row in described):
        return False
    named = "SELECT EXISTS (FROM checked_products_once WHERE coalesce(family_id, '') <> '')"
    return bool(connection.execute(named).fetchall()[0][0])


def resolve(connection: duckdb.DuckDBPyConnection, admission: Admission, max_share: float) -> dict[str, int]:
    """Take listings out that repeat an id, or contradict the family of the product's other listings.

    The family of a product is the one that most of its listings name, the first by name of several.

    Returns:
        Reason → listings that were taken out.

    Raises:
        CatalogueError: If they are more than `max_share` of the rows.
    """
    connection.execute(
        f"""CREATE TABLE refused_listings AS
            WITH votes AS (
                SELECT product_id, family_id, count(*) AS votes FROM admitted_listings
                WHERE coalesce(family_id, '') <> '' GROUP BY ALL
            ), chosen AS (
                SELECT product_id, arg_min(family_id, (-votes, family_id)) AS family FROM votes GROUP BY ALL
            )
            SELECT line, text, CASE WHEN place > 1 THEN '{REPEATED}' ELSE '{CONTRADICTION}' END AS reason FROM (
                SELECT line, text, family_id, family,
                       row_number() OVER (PARTITION BY item_id ORDER BY line) AS place
                FROM admitted_listings LEFT JOIN chosen USING (product_id)
            ) WHERE place > 1 OR (coalesce(family_id, '') <> '' AND family_id <> family)"""
    )
    refused = dict(
        connection.execute("SELECT reason, count(*) FROM refused_listings GROUP BY 1 ORDER BY 1").fetchall()
    )
    if sum(refused.values()) > max_share * admission.read:
        line, text = connection.execute(
            "SELECT line, left(text, 120) FROM refused_listings ORDER BY line"
        ).fetchall()[0]
        raise CatalogueError(
            f"{sum(refused.values()):,} of {admission.read:,} rows of listings break the contract "
            f"({', '.join(f'{count:,} × {reason}' for reason, count in refused.items())}), row {line} first: {text}",
            "mend the source, or allow more with the setting ingest.max_quarantined",
        )
    if refused:
        connection.execute(
            """INSERT INTO quarantine SELECT 'listings', line, reason, left(text, 500), 'quarantined'
               FROM refused_listings"""
        )
        connection.execute(
            """CREATE OR REPLACE VIEW admitted_listings AS
               FROM checked_listings WHERE verdict IS NULL AND line NOT IN (SELECT line FROM refused_listings)"""
        )
    return refused
