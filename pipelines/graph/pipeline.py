"""The space `graph`: a snapshot's product graph, directed, filtered and split (MERLIN 3.1, 3.2, 4.1.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from pipelines.category.pipeline import associations
from pipelines.graph.edges import (
    direct_edges,
    drop_weak_associations,
    number_products,
    resolve_direction,
    split_edges,
)
from pipelines.graph.product_graph import Split
from pipelines.graph.transferred import add_lent
from twinvec import digest
from twinvec.catalogue.snapshot import quoted
from twinvec.catalogue.transfers import lent_files
from twinvec.errors import CatalogueError
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome

if TYPE_CHECKING:
    from twinvec.tracking import Run

REPORT = "associations.parquet"


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Direct the pairs, drop those of weakly associated categories, and split the others."""
    settings, options = inputs.settings, inputs.settings.graph
    lent = lent_files(settings.paths, options.transferred)
    direction = resolve_direction(options.direction, inputs.snapshot.directed)
    drop = options.drop_weak == "always" or (options.drop_weak == "auto" and not inputs.snapshot.directed)
    connection = inputs.snapshot.connect(settings.ingest.memory_limit)
    number_products(connection, settings.category.level)
    direct_edges(connection, "copurchase", "copurchase_edge", direction, options.min_copurchase)
    direct_edges(connection, "coview", "coview_edge", direction, options.min_coview)
    report = drop_weak_associations(
        connection, "copurchase_edge", _associations(inputs, connection), options.min_association, drop
    )
    split_edges(connection, "copurchase_edge", options.validation, options.test, settings.seed)
    split_edges(
        connection,
        "coview_edge",
        options.coview_validation,
        options.coview_test,
        settings.seed,
        by_ends=True,
    )
    borrowed = {}
    for behaviour in ("copurchase", "coview") if lent else ():
        borrowed[f"lent_{behaviour}_edges"] = add_lent(
            connection,
            lent,
            behaviour,
            f"{behaviour}_edge",
            direction == "source",
            options.min_lent,
            options.lent_half,
        )
        progress(f"{borrowed[f'lent_{behaviour}_edges']:,} {behaviour} edges are lent")
    counts = _count(connection)
    if not counts["training_edges"]:
        raise CatalogueError(
            f"snapshot {inputs.snapshot.id} has no co-purchase edges left to train on "
            f"({counts['copurchase_edges']} in all)",
            "lower graph.min_association or graph.min_copurchase, or ingest a source with more pairs",
        )
    weak = int(pc.sum(report.filter(report["weak"])["edges"]).as_py() or 0)
    progress(
        f"{counts['products']:,} products, {counts['copurchase_edges']:,} co-purchase edges "
        f"({weak:,} between weakly associated categories {'dropped' if drop else 'kept'}), "
        f"{counts['coview_edges']:,} co-view edges"
    )
    tables = {
        "nodes.parquet": "SELECT node, product_id, category FROM node ORDER BY node",
        "copurchase.parquet": "FROM copurchase_edge ORDER BY source, target",
        "coview.parquet": "FROM coview_edge ORDER BY source, target",
    }
    contents = _content_digest(connection, tables)

    def write(folder: Path) -> None:
        # From DuckDB to the files: the tables may be larger than memory.
        with connection:
            for name, query in tables.items():
                connection.execute(
                    f"COPY ({query}) TO {quoted(folder / name)} (FORMAT parquet, COMPRESSION zstd)"
                )
        pq.write_table(report, folder / REPORT)

    return Outcome(
        keys=(),
        vectors={},
        metric="dot",
        normalised=False,
        model=contents,
        preprocessing=digest.of_json({**options.deciding_as_before(), "direction": direction}),
        metrics={**counts, **borrowed, "weak_edges": weak, "dropped_edges": weak if drop else 0},
        write=write,
    )


def _associations(inputs: Inputs, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the association of every pair of categories that co-purchase edges join."""
    pairs: pa.Table = connection.sql(
        """
        SELECT DISTINCT least(s.category, t.category) AS a, greatest(s.category, t.category) AS b
        FROM copurchase_edge e JOIN node s ON s.node = e.source JOIN node t ON t.node = e.target
        WHERE s.category <> t.category ORDER BY a, b
        """
    ).to_arrow_table()
    if "category" not in inputs.versions:
        return pairs.append_column("association", pa.nulls(pairs.num_rows, pa.float64()))
    names: list[str] = sorted({*pairs["a"].to_pylist(), *pairs["b"].to_pylist()})
    read = inputs.vectors("category", names)
    present = np.flatnonzero(read.present)
    return associations([names[row] for row in present], torch.from_numpy(read.only()[present]), pairs)


def _count(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    (row,) = connection.execute(
        """
        SELECT (SELECT count(*) FROM node) AS products,
               (SELECT count(*) FROM copurchase_edge) AS copurchase_edges,
               (SELECT count(*) FROM copurchase_edge WHERE split = $train) AS training_edges,
               (SELECT count(*) FROM coview_edge) AS coview_edges
        """,
        {"train": int(Split.TRAIN)},
    ).fetchall()
    return dict(zip(("products", "copurchase_edges", "training_edges", "coview_edges"), row, strict=True))


def _content_digest(connection: duckdb.DuckDBPyConnection, tables: dict[str, str]) -> str:
    # A sum of the rows' hashes is independent of their order, and loads no row into Python.
    sums = {
        name: str(connection.execute(f"SELECT sum(hash(t)::HUGEINT) FROM ({query}) t").fetchall()[0][0])
        for name, query in tables.items()
    }
    return digest.of_json(sums)
