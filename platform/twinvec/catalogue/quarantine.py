"""Quarantine: separates the rows that break the contract, and keeps them with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from twinvec.catalogue.contract import LEFT_OUT, NAMED, verdict
from twinvec.catalogue.loaders.staging import TEXT_LENGTH
from twinvec.errors import CatalogueError

EXAMPLE_LENGTH = 120
# The first row of a product in each further marketplace, and with each further set of languages.
FURTHER = """
    SELECT line FROM (
        SELECT min(line) AS line, bool_or(titled) AS titled, row_number() OVER (
            PARTITION BY product_id, marketplace ORDER BY min(line)
        ) AS place
        FROM (SELECT *, map_keys(title) AS languages, cardinality(title) > 0 AS titled FROM {checked})
        WHERE verdict IS NULL AND {listed} GROUP BY product_id, marketplace, languages
    )
    WHERE line NOT IN (SELECT line FROM known) AND (place = 1 OR titled)
"""


@dataclass(frozen=True)
class Admission:
    """Admission of a table's rows: number of rows read, and reason → number of rows refused."""

    read: int
    refused: dict[str, int]


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables of the keys of products and queries that were admitted, and of the rows that were not."""
    for key, known in NAMED.values():
        connection.execute(f"CREATE TABLE {known} ({key} VARCHAR, line BIGINT)")
    connection.execute(
        'CREATE TABLE quarantine ("table" VARCHAR, line BIGINT, reason VARCHAR, "text" VARCHAR)'
    )


def admit(
    connection: duckdb.DuckDBPyConnection, table: str, query: str, max_share: float, listed: bool = False
) -> Admission:
    """Make the view `admitted_<table>` of the rows of `query` that keep the contract.

    Of several products, or queries, with one id the first is admitted. Products must be admitted before all else, and
    queries before what names them.

    Args:
        connection: DuckDB connection after `prepare`.
        table: Name of the table.
        query: Its staged rows.
        max_share: Largest share of the rows that may break the contract.
        listed: Whether further rows of a product, in another marketplace or language, are listings of it in place of
            duplicates.

    Raises:
        CatalogueError: If more than `max_share` of the rows break the contract.
    """
    checked = f"checked_{table}"
    connection.execute(f"CREATE VIEW {checked} AS SELECT *, {verdict(table)} AS verdict FROM ({query})")
    if table in NAMED:
        key, known = NAMED[table]
        connection.execute(
            f"INSERT INTO {known} SELECT {key}, min(line) FROM {checked} WHERE verdict IS NULL GROUP BY 1"
        )
        kept = f"SELECT line FROM {known}"
        if table == "products":
            connection.execute(f"CREATE TABLE further AS {FURTHER.format(checked=checked, listed=listed)}")
            kept = f"{kept} UNION ALL FROM further"
        further = "line IN (FROM further)" if table == "products" else "false"
        repeated = f"CASE WHEN line NOT IN ({kept}) THEN 'duplicated {key}' END"
        connection.execute(
            f"""CREATE VIEW {checked}_once AS
                SELECT * EXCLUDE (verdict), coalesce(verdict, {repeated}) AS verdict, {further} AS further
                FROM {checked}"""
        )
        checked = f"{checked}_once"
    first = "AND NOT further" if table in NAMED else ""
    connection.execute(f"CREATE VIEW admitted_{table} AS FROM {checked} WHERE verdict IS NULL {first}")
    counted = connection.execute(f"SELECT verdict, count(*) FROM {checked} GROUP BY ALL").fetchall()
    admission = Admission(
        sum(rows for _, rows in counted),
        dict(sorted((reason, rows) for reason, rows in counted if reason is not None)),
    )
    _judge(connection, table, checked, admission, max_share)
    left_out = ", ".join(f"'{reason}'" for reason in LEFT_OUT)
    connection.execute(
        f"""INSERT INTO quarantine
            SELECT '{table}', line, verdict, left(text, {TEXT_LENGTH}) FROM {checked}
            WHERE verdict NOT IN ({left_out})"""
    )
    return admission


def _judge(
    connection: duckdb.DuckDBPyConnection, table: str, checked: str, admission: Admission, max_share: float
) -> None:
    broken = {reason: rows for reason, rows in admission.refused.items() if reason not in LEFT_OUT}
    total = sum(broken.values())
    if total <= max_share * admission.read:
        return
    worst = sorted(broken, key=lambda reason: -broken[reason])[:3]
    examples = []
    for reason in worst:
        line, text = connection.execute(
            f"""SELECT line, left(text, {EXAMPLE_LENGTH}) FROM {checked}
                WHERE verdict = $reason ORDER BY line LIMIT 1""",
            {"reason": reason},
        ).fetchall()[0]
        examples.append(f"\n  {broken[reason]:,} × {reason}, as in row {line}: {text}")
    raise CatalogueError(
        f"{total:,} of {admission.read:,} rows of {table} break the contract, more than the "
        f"{max_share:.0%} allowed:" + "".join(examples),
        "mend the source, or allow more with the setting ingest.max_quarantined",
    )
