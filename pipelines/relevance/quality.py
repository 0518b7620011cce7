"""Verification, floors and comparison of versions of `relevance`, for releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.relevance.graph_files import IDS
from pipelines.relevance.pipeline import TESTED, encoded_file
from pipelines.relevance.purchase_graph import PRODUCT, QUERY
from pipelines.relevance.service import LoadedVersion, load_version
from registry.models import Version
from twinvec.errors import VerificationError
from twinvec.features.manifest import Manifest
from twinvec.metrics.classification import classification_metrics
from twinvec.releases.gates import Gate, Quality
from twinvec.workspace import Workspace

ASKED = 20


def verify(workspace: Workspace, version: Version) -> dict[str, Any]:
    """Check that models, neighbourhoods and vectors of a version belong together, and ask it for some test pairs.

    Returns:
        Numbers of regions and nodes, and `answers`: pair → classes and probabilities, most probable first.

    Raises:
        StoreError: If the models in MLflow are gone, or others than the version was made with.
        VerificationError: If an input has changed, or a region lacks the vectors of its nodes.
    """
    loaded = load_version(workspace, version)
    manifest = Manifest.from_json(version.manifest)
    again = "make it again: `twinvec train relevance --force`"
    for name, expected in manifest.inputs.items():
        found = workspace.version(name)
        if found.digest != expected:
            raise VerificationError(
                f"{version.name} was made from {name} with digest {expected}, not {found.digest}", again
            )
        ids = Path(found.path) / IDS
        nodes = pq.read_metadata(ids).num_rows if ids.is_file() else None
        for region in loaded.recipe.regions if nodes is not None and loaded.recipe.node_length else ():
            file = Path(version.path) / encoded_file(region)
            rows = len(np.load(file, mmap_mode="r")) if file.is_file() else 0
            if rows != nodes:
                raise VerificationError(
                    f"{version.name} has vectors of {rows:,} of {nodes:,} nodes for {region}", again
                )
    return {
        "rows": version.rows,
        "regions": list(loaded.recipe.regions),
        "nodes": len(loaded.node_ids),
        "answers": _answers(loaded),
    }


def floors(workspace: Workspace, version: Version) -> list[Gate]:
    """Return the figures that any release has to reach: macro-F1, and recall of each class, of its test queries."""
    options = workspace.settings.relevance
    figures = {"macro_f1": ("min_macro_f1", options.min_macro_f1)}
    figures |= {
        name: ("min_recall", options.min_recall)
        for name in sorted(version.metrics)
        if name.startswith("recall_")
    }
    return [
        Gate(figure, float(version.metrics[figure]), None, least, None, f"relevance.{setting} {least:g}")
        for figure, (setting, least) in figures.items()
    ]


def compare(workspace: Workspace, new: Version, live: Version) -> Quality:
    """Compare the macro-F1 of two versions on the test pairs that both were asked, and neither has learned from."""
    options, files = workspace.settings.relevance, [Path(each.path) / TESTED for each in (new, live)]
    query = """
        SELECT new.true AS true, new.found AS new, live.found AS live
        FROM read_parquet($new) new JOIN read_parquet($live) live USING (query, product, locale)
        WHERE new.true = live.true"""
    with duckdb.connect() as connection:
        paths = dict(zip(("new", "live"), map(str, files), strict=True))
        table = connection.sql(query, params=paths).to_arrow_table()
    if not table.num_rows:
        return Quality(
            remark="quality was not compared: both versions have no test pair with the same class in common"
        )
    names = sorted({name for column in table.column_names for name in table[column].unique().to_pylist()})
    true, *found = (
        pc.index_in(table[column].combine_chunks(), pa.array(names)).to_numpy().astype(np.int64)
        for column in ("true", "new", "live")
    )
    ours, other = (classification_metrics(true, each, names)["macro_f1"] for each in found)
    least = other * (1 - options.max_f1_drop)
    gate = Gate("macro_f1_both", ours, other, least, None, f"relevance.max_f1_drop {options.max_f1_drop:g}")
    return Quality(((gate, table.num_rows),), table.num_rows)


def _answers(loaded: LoadedVersion) -> dict[str, list[list[str | float]]]:
    """Return what a version answers for some of its test pairs, in even steps of their ids."""
    tested = pq.read_table(Path(loaded.version.path) / TESTED).sort_by(
        [("query", "ascending"), ("product", "ascending")]
    )
    chosen = tested.take(
        pa.array(np.unique(np.linspace(0, tested.num_rows - 1, ASKED).astype(int)))
    ).to_pylist()
    texts = dict(loaded.queries.values())
    answers: dict[str, list[list[str | float]]] = {}
    for row in chosen:
        (title,) = loaded.titles([row["product"].removeprefix(PRODUCT)], row["locale"])
        query = texts.get(row["query"].removeprefix(QUERY), row["query"])
        found, _ = loaded.probabilities(
            loaded.model_of(row["locale"]),
            pa.array([query]),
            pa.array([title]),
            [row["query"]],
            [row["product"]],
            1,
        )
        order = np.argsort(-found[0], kind="stable")
        pair = f"{row['query']} {row['product']} {row['locale']}"
        answers[pair] = [[loaded.names[place], round(float(found[0, place]), 6)] for place in order]
    return answers
