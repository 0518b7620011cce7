"""Coverage of an ingest: filled fields, matched ids and copies, with warnings where a number looks wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import duckdb

from twinvec.catalogue.contract import COPY, LEFT_OUT, PAIRS, UNKNOWN_PRODUCT
from twinvec.catalogue.loaders.registered import Loader
from twinvec.catalogue.loaders.staging import StagedTables
from twinvec.catalogue.loaders.times import UNREAD as UNREAD_TIME
from twinvec.catalogue.quarantine import Admission
from twinvec.catalogue.writing import DISTINCT
from twinvec.errors import CatalogueError
from twinvec.settings import IngestSettings

Counts = dict[str, dict[str, int]]
# Column of products → condition under which a product has it.
FIELDS = {
    "title": "title IS NOT NULL",
    "category": "len(category) > 0",
    "price": "price IS NOT NULL",
    "brand": "brand IS NOT NULL",
    "image": "image IS NOT NULL",
}
# Without one of these a space lacks what it learns from.
EXPECTED = ("title", "category", "price", "image")
MOSTLY = 0.5
# Tables with a time.
EVENTS = ("orders", "views")
SHOWN = 12


def told_apart(admissions: Mapping[str, Admission]) -> tuple[Counts, Counts]:
    """Return table → reason → rows of those that break the contract, and of those that are only left out."""
    quarantined, left_out = {}, {}
    for table, admission in admissions.items():
        quarantined[table] = {why: rows for why, rows in admission.refused.items() if why not in LEFT_OUT}
        left_out[table] = {why: rows for why, rows in admission.refused.items() if why in LEFT_OUT}
    return quarantined, left_out


def count_copies(left_out: Counts, admissions: Mapping[str, Admission], written: Mapping[str, int]) -> None:
    """Add to `left_out` the events that came again and are written once."""
    for table in DISTINCT:
        if table in admissions and (copies := _admitted(admissions[table]) - written[table]):
            left_out[table][COPY] = copies


def count_fields(connection: duckdb.DuckDBPyConnection, admissions: Mapping[str, Admission]) -> Counts:
    """Return table → column → admitted rows that have a value there."""
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in FIELDS.values())
    found = connection.execute(f"SELECT {counts} FROM admitted_products").fetchall()[0]
    fields = {"products": dict(zip(FIELDS, found, strict=True))}
    for table in EVENTS:
        if table in admissions:
            timed = connection.execute(f"SELECT count(time) FROM admitted_{table}").fetchall()[0][0]
            fields[table] = {"time": timed}
    return fields


def check_matches(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    admissions: Mapping[str, Admission],
    staged: StagedTables,
) -> None:
    """Check that of each table that names products, some rows name products of the catalogue.

    Raises:
        CatalogueError: If none does, with two ids of either side.
    """
    for table, admission in admissions.items():
        unknown = admission.refused.get(UNKNOWN_PRODUCT, 0)
        if not unknown or _admitted(admission) or (table in PAIRS and staged.open_pairs):
            continue
        column = "source" if table in PAIRS else "product_id"
        theirs = _examples(connection, f"checked_{table}", column, f"verdict = '{UNKNOWN_PRODUCT}'")
        ours = _examples(connection, "known", "product_id", "true")
        raise CatalogueError(
            f"none of the {unknown:,} rows of {table} of {source} names a product of the catalogue: they name "
            f"{theirs}, the products are {ours}",
            _difference(connection, table, column),
        )


def warnings(
    connection: duckdb.DuckDBPyConnection,
    admissions: Mapping[str, Admission],
    fields: Counts,
    staged: StagedTables,
    settings: IngestSettings,
    loader: Loader,
) -> list[str]:
    """Return sentences about what looks wrong: empty fields, values lost, events that mostly match nothing."""
    found = []
    products = fields["products"]
    if empty := [name for name in EXPECTED if not products[name]]:
        found.append(f"no product has any {' or '.join(empty)}{_of_unread(staged)}")
    found += [
        f"none of the {admissions[table].lost[UNREAD_TIME]:,} times of {table} can be read"
        f"{_example(connection, table)}; say how they are written with the setting ingest.time_formats"
        for table in EVENTS
        if table in fields and not fields[table]["time"] and UNREAD_TIME in admissions[table].lost
    ]
    for table, admission in admissions.items():
        unknown, admitted = admission.refused.get(UNKNOWN_PRODUCT, 0), _admitted(admission)
        if unknown > MOSTLY * (unknown + admitted) and not (
            table in PAIRS and staged.open_pairs and admitted
        ):
            found.append(
                f"{unknown:,} of {unknown + admitted:,} rows of {table} name products that are not there"
            )
    found += [
        f"{rows:,} × {why} in {table}"
        for table, each in admissions.items()
        for why, rows in each.lost.items()
    ]
    if settings.columns and not loader.columns:
        found.append("ingest.columns is set, but this format reads no columns by other names")
    return [*found, *staged.warnings]


def later_events(
    connection: duckdb.DuckDBPyConnection, admissions: Mapping[str, Admission], as_of: datetime | None
) -> list[str]:
    """Return a warning for each log that goes on after the time which the data are said to be of."""
    if as_of is None:
        return []
    found = []
    for table in EVENTS:
        if table in admissions:
            query = f"SELECT count(*) FROM admitted_{table} WHERE time > $as_of"
            rows = connection.execute(query, {"as_of": as_of}).fetchall()[0][0]
            if rows:
                found.append(
                    f"{rows:,} {table} are later than {as_of.isoformat()}, the time that the data are said to be of"
                )
    return found


def _of_unread(staged: StagedTables) -> str:
    if not staged.unread:
        return ""
    more = f" and {len(staged.unread) - SHOWN} others" if len(staged.unread) > SHOWN else ""
    return f"; nothing was read from {', '.join(staged.unread[:SHOWN])}{more}"


def _admitted(admission: Admission) -> int:
    return admission.read - sum(admission.refused.values())


def _examples(connection: duckdb.DuckDBPyConnection, table: str, column: str, condition: str) -> str:
    query = f"SELECT {column} FROM {table} WHERE {condition} GROUP BY 1 ORDER BY min(line) LIMIT 2"
    return " and ".join(repr(row[0]) for row in connection.execute(query).fetchall())


def _example(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    query = f"SELECT left(text, 80) FROM admitted_{table} WHERE len(lost) > 0 ORDER BY line LIMIT 1"
    rows = connection.execute(query).fetchall()
    return f", as of {rows[0][0]!r}" if rows else ""


def _difference(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> str:
    """Return a hint, after trying what numbers do to ids: zeros in front are lost, `.0` is added."""
    plain = "lower(ltrim(regexp_replace(trim({}), '[.]0+$', ''), '0'))"
    query = f"""SELECT EXISTS (SELECT 1 FROM checked_{table} JOIN known
                ON {plain.format(f"checked_{table}.{column}")} = {plain.format("known.product_id")})"""
    if connection.execute(query).fetchall()[0][0]:
        return (
            "they match without zeros in front, `.0` at the end, or in lower case: a file was written with its ids as "
            "numbers, or in another case; write them as text, alike in all files"
        )
    return "check that the files belong together, and that the right column holds the ids"
