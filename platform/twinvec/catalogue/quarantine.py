"""Quarantine: separates the rows that break the contract, and keeps them with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from twinvec.catalogue.cleaning import cleaned
from twinvec.catalogue.contract import COPY, LEFT_OUT, NAMED, PAIRS, verdict
from twinvec.catalogue.loaders.staging import TEXT_LENGTH
from twinvec.columns import TABLES
from twinvec.errors import CatalogueError
from twinvec.settings import IngestSettings

EXAMPLE_LENGTH = 120
# Of rows that are left out, which may be most of a source, this many of a table are kept.
LEFT_OUT_KEPT = 1_000
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
    """Admission of a table's rows.

    Attributes:
        read: Number of rows.
        refused: Reason → number of rows that did not enter.
        lost: Reason → number of admitted rows with a value that could not be used.
    """

    read: int
    refused: dict[str, int]
    lost: dict[str, int]


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables of the keys of products and queries that were admitted, and of the rows that were not."""
    for key, known in NAMED.values():
        connection.execute(f"CREATE TABLE {known} ({key} VARCHAR, line BIGINT)")
    connection.execute(
        'CREATE TABLE quarantine ("table" VARCHAR, line BIGINT, reason VARCHAR, "text" VARCHAR, outcome VARCHAR)'
    )


def admit(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    query: str,
    options: IngestSettings,
    listed: bool = False,
) -> Admission:
    """Make the view `admitted_<table>` of the rows of `query` that keep the contract.

    Of several products, or queries, with one id the first is admitted. Products must be admitted before all else, and
    queries before what names them.

    Args:
        connection: DuckDB connection after `prepare`.
        table: Name of the table.
        query: Its staged rows.
        options: Settings: missing values, what is no product, and the largest share of rows that may break the
            contract.
        listed: Whether further rows of a product, in another marketplace or language, are listings of it in place of
            duplicates.

    Raises:
        CatalogueError: If more rows than that break it.
    """
    checked = f"checked_{table}"
    present = [str(row[0]) for row in connection.execute(f"DESCRIBE {query}").fetchall()]
    # Pairs are many, and their ids count only if they are those of products, which are clean.
    rows = query if table in PAIRS else cleaned(table, query, present, options.missing, options.exclude)
    if table == "products":
        # Read many times below, and much is made of each row.
        connection.execute(f"CREATE TABLE cleaned_{table} AS {rows}")
        rows = f"FROM cleaned_{table}"
    connection.execute(f"CREATE VIEW {checked} AS SELECT *, {verdict(table)} AS verdict FROM ({rows})")
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
        _find_copies(connection, table, checked, key, "digest" in present)
        repeated = (
            f"CASE WHEN line IN (FROM copies_{table}) THEN '{COPY}' "
            f"WHEN line NOT IN ({kept}) THEN 'duplicated {key}' END"
        )
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
        {} if table in PAIRS else _count_lost(connection, table),
    )
    _judge(connection, table, checked, admission, options.max_quarantined)
    left_out = ", ".join(f"'{reason}'" for reason in LEFT_OUT)
    for outcome, among, limit in (
        ("quarantined", "NOT IN", ""),
        ("left out", "IN", f"LIMIT {LEFT_OUT_KEPT}"),
    ):
        connection.execute(
            f"""INSERT INTO quarantine
                SELECT '{table}', line, verdict, left(text, {TEXT_LENGTH}), '{outcome}' FROM {checked}
                WHERE verdict {among} ({left_out}) {limit}"""
        )
    return admission


def _count_lost(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    return dict(
        connection.execute(
            f"""SELECT reason, count(*) FROM (SELECT unnest(lost) AS reason FROM admitted_{table})
                GROUP BY 1 ORDER BY 1"""
        ).fetchall()
    )


def _find_copies(
    connection: duckdb.DuckDBPyConnection, table: str, checked: str, key: str, digested: bool
) -> None:
    """Make the table `copies_<table>` of the lines that say again, word for word, what an earlier one said."""
    # Of a listing or a query the key is unique; the values of other rows need not be compared.
    repeated = f"SELECT {key} FROM {checked} WHERE verdict IS NULL GROUP BY 1 HAVING count(*) > 1"
    values = ", ".join([*TABLES[table].names, *(["digest"] if digested else [])])
    connection.execute(
        f"""CREATE TABLE copies_{table} AS
            SELECT line FROM (
                SELECT line, row_number() OVER (PARTITION BY {key}, hash({values}) ORDER BY line) AS place
                FROM {checked} WHERE verdict IS NULL AND {key} IN ({repeated})
            ) WHERE place > 1"""
    )


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
