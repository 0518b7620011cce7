"""Labels of many pairs: read from a file in batches, classified, written to a file, and kept as a Feast view."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.relevance.judged import title_sql
from pipelines.relevance.service import LoadedVersion, classify_batches
from twinvec import digest
from twinvec.catalogue.snapshot import quoted
from twinvec.columns import PRODUCT_ID, QUERY_ID
from twinvec.errors import CatalogueError, NotFoundError
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome, make_version
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from twinvec.tracking import Run

SPACE = "relevance_labels"
ROWS = 8_192


@dataclass(frozen=True)
class Labelled:
    """Result of labelling a file of pairs.

    Attributes:
        output: File with a row for each pair.
        version: Version of `relevance_labels` that keeps them.
        pairs: Number of pairs.
        by_graph: Number of them that were read with purchases.
        unknown_products: Pairs left out because the snapshot lacks the product.
        unknown_queries: Pairs left out because the snapshot lacks the query and no text was given.
        pairs_per_second: Speed of the classification.
    """

    output: Path
    version: str
    pairs: int
    by_graph: int
    unknown_products: int
    unknown_queries: int
    pairs_per_second: float


_PAIRS = """
    CREATE VIEW pairs AS
    SELECT file_row_number AS row, given.product_id AS product_id,
           coalesce(given.query_id, known.query_id, lower(trim(given.query))) AS query_id,
           coalesce(given.query, queries.text) AS query,
           coalesce(given.locale, queries.locale, {locale}) AS locale,
           products.product_id IS NOT NULL AS has_product, title, category
    FROM (
        SELECT file_row_number, {columns} FROM read_parquet({file}, file_row_number = true)
    ) given
    LEFT JOIN queries ON queries.query_id = given.query_id
    LEFT JOIN (
        SELECT lower(trim(text)) AS text, locale, min(query_id) AS query_id FROM queries GROUP BY ALL
    ) known ON given.query_id IS NULL AND known.text = lower(trim(given.query))
           AND known.locale = coalesce(given.locale, {locale})
    LEFT JOIN products ON products.product_id = given.product_id"""
_LABELLED = """
    SELECT query_id, query, product_id, locale, {title} AS product
    FROM (
        SELECT * FROM pairs WHERE has_product AND query IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY query_id, product_id ORDER BY row) = 1
    ) AS products ORDER BY row"""


def label_pairs(
    workspace: Workspace, loaded: LoadedVersion, pairs: Path, output: Path, progress: Progress
) -> Labelled:
    """Classify the pairs of a Parquet file, and keep the labels as the next version of `relevance_labels`.

    A pair that comes several times is classified once. The key of a query that the snapshot does not know is its text,
    in lower case.

    Args:
        workspace: Stores.
        loaded: Version that is asked.
        pairs: File with the columns `product_id`, `query_id` or `query` (text) or both, and perhaps `locale`.
        output: Parquet file that is written, whole or not at all: keys, label, probabilities.
        progress: Called with messages.

    Raises:
        NotFoundError: If there is no such file.
        CatalogueError: If it lacks a column, or has no pair that can be classified.
    """
    settings, staging = workspace.settings, output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with loaded.snapshot.connect(settings.ingest.memory_limit) as connection:
            total, without_product, without_query = _read_pairs(connection, pairs, loaded.recipe.regions[0])
            query = _LABELLED.format(title=title_sql("locale"))
            reader = connection.sql(query).to_arrow_reader(ROWS)
            batches = (pa.Table.from_batches([batch]) for batch in reader)
            started = time.perf_counter()
            rows, by_graph = _write(
                staging, classify_batches(loaded, batches, settings.relevance.predict_batch), total, progress
            )
            seconds = time.perf_counter() - started
        if not rows:
            raise CatalogueError(
                f"{pairs} has no pair that can be classified: {without_product:,} name unknown products, "
                f"{without_query:,} unknown queries",
                "name products of the live release's snapshot, and queries by id or by text",
            )
        version = _keep(workspace, loaded, staging, progress)
        staging.replace(output)
    finally:
        staging.unlink(missing_ok=True)
    return Labelled(output, version, rows, by_graph, without_product, without_query, rows / seconds)


def _read_pairs(connection: duckdb.DuckDBPyConnection, file: Path, locale: str) -> tuple[int, int, int]:
    """Make the view `pairs`; return the numbers of pairs, of those of unknown products, and of unknown queries."""
    if not file.is_file():
        raise NotFoundError(f"no such file: {file}", "name a Parquet file of pairs")
    try:
        described = connection.execute(f"DESCRIBE FROM read_parquet({quoted(file)})").fetchall()
    except duckdb.Error as error:
        raise CatalogueError(f"{file} cannot be read as Parquet: {error}", "write it again") from error
    names = {str(row[0]) for row in described}
    if PRODUCT_ID not in names or not names & {QUERY_ID, "query"}:
        raise CatalogueError(
            f"{file} has the columns {', '.join(sorted(names))}",
            "it needs `product_id`, and `query_id` or `query`; `locale` is read if it is there",
        )
    columns = ", ".join(
        f"{name}::VARCHAR AS {name}" if name in names else f"NULL::VARCHAR AS {name}"
        for name in (QUERY_ID, "query", PRODUCT_ID, "locale")
    )
    connection.execute(_PAIRS.format(columns=columns, file=quoted(file), locale=quoted(locale)))
    counted = connection.execute(
        "SELECT count(*), count(*) FILTER (NOT has_product), count(*) FILTER (has_product AND query IS NULL) FROM pairs"
    ).fetchall()[0]
    return int(counted[0]), int(counted[1]), int(counted[2])


def _write(file: Path, tables: Iterator[pa.Table], total: int, progress: Progress) -> tuple[int, int]:
    rows = by_graph = 0
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
            rows += table.num_rows
            by_graph += int(pc.sum(table["by_graph"]).as_py() or 0)
            progress(f"{rows:,} of {total:,} pairs")
    finally:
        if writer is not None:
            writer.close()
    return rows, by_graph


def _keep(workspace: Workspace, loaded: LoadedVersion, file: Path, progress: Progress) -> str:
    """Make a version of the labels in a file, and return its name."""
    version = loaded.version
    inputs = Inputs(workspace, loaded.snapshot, {version.space: version})

    def made(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
        def tables() -> Iterator[pa.Table]:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(ROWS):
                    table = pa.Table.from_batches([batch])
                    flag = table.column_names.index("by_graph")
                    yield table.set_column(flag, "by_graph", table["by_graph"].cast(pa.int64()))

        return Outcome(
            keys=(),
            vectors={},
            metric="dot",
            normalised=False,
            model=version.manifest["model"],
            preprocessing=version.manifest["preprocessing"],
            metrics={"pairs": float(pq.read_metadata(file).num_rows)},
            entity=QUERY_ID,
            also=(PRODUCT_ID,),
            tables=tables,
        )

    mark = digest.of_json({"relevance": version.digest, "pairs": uuid.uuid4().hex})
    return make_version(inputs, SPACE, mark, {"relevance": version.name}, made, progress).name
