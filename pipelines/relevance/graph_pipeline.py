"""Making of the spaces `search_nodes` and `neighbourhoods`: nothing is trained."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cold_start.models import TextEncoder
from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.relevance.graph_files import FEATURES, as_tables, open_neighbourhoods, write_neighbourhoods
from pipelines.relevance.purchase_graph import PRODUCT, QUERY, open_purchases
from pipelines.relevance.scratch import scratch_folder
from pipelines.relevance.space import NEIGHBOURHOODS, NODES
from pipelines.text.encoder import encode_texts
from twinvec import digest
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome

if TYPE_CHECKING:
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.settings import Settings
    from twinvec.tracking import Run

CHUNK = 4096
ROWS = 10_000
NO_MODEL = "breadth-first"


def train(inputs: Inputs, run: Run, progress: Progress) -> Mapping[str, Outcome]:
    """Build the neighbourhoods of all queries and products that were bought, and the vectors of these nodes."""
    settings, options = inputs.settings, inputs.settings.neighbourhoods
    limit, spill = settings.ingest.memory_limit, settings.paths.spill
    purchases = inputs.snapshot.table("query_purchases")
    with scratch_folder(spill, ".neighbourhoods-") as folder:
        with open_purchases(purchases, options.nodes, limit, spill) as graph:
            progress(f"neighbourhoods of {len(graph.node_ids):,} queries and products")
            write_neighbourhoods(folder, graph.node_ids, graph.neighbourhoods(options.nodes, options.chunk))
            node_ids = graph.node_ids
        progress("vectors of the nodes")
        features = node_vectors(inputs, node_ids)
        np.save(folder / FEATURES, features)
        files = open_neighbourhoods(folder, folder)
    sizes = files.sizes(np.arange(len(node_ids)))
    # The files are read and copied after this function has ended.
    weakref.finalize(files, shutil.rmtree, folder, ignore_errors=True)
    metrics = {
        "nodes": float(len(node_ids)),
        "queries": float(pc.sum(pc.starts_with(node_ids, QUERY)).as_py()),
        "mean_neighbours": float(sizes.mean()),
        "full": float(np.mean(sizes == options.nodes - 1)),
    }
    text = inputs.versions["text"]
    common = {"metric": "cosine", "normalised": True, "metrics": metrics, "entity": NODES.entity.key}
    preprocessing = digest.of_json({"text": text.digest, **options.deciding()})
    return {
        NODES.name: Outcome(
            keys=node_ids,
            vectors={NODES.fields[0]: np.asarray(features)},
            model=text.manifest["model"],
            preprocessing=preprocessing,
            write=lambda target: _copy(folder, target, features=True),
            **common,  # type: ignore[arg-type]
        ),
        NEIGHBOURHOODS.name: Outcome(
            keys=(),
            vectors={},
            model=NO_MODEL,
            preprocessing=preprocessing,
            write=lambda target: _copy(folder, target, features=False),
            tables=lambda: as_tables(files, ROWS),
            **common,  # type: ignore[arg-type]
        ),
    }


def reason_to_skip(snapshot: Snapshot, _settings: Settings) -> str | None:
    """Return why there are no neighbourhoods, or None."""
    return None if snapshot.tables["query_purchases"] else "nothing was bought after a query"


def node_vectors(inputs: Inputs, node_ids: pa.Array) -> npt.NDArray[np.float32]:
    """Return the input vectors of the nodes, float32 [n, F], in a file.

    A product has its text vector of the feature store, zeros if it has none; a query is encoded by the same encoder.
    """
    encoder = TextEncoder.load(inputs.settings, inputs.versions["text"])
    vectors = disk_matrix(inputs.settings.home, len(node_ids), encoder.dimension)
    for first in range(0, len(node_ids), CHUNK):
        some = node_ids.slice(first, CHUNK)
        keys = pc.utf8_slice_codeunits(some, len(PRODUCT))
        is_query = pc.starts_with(some, QUERY).to_numpy(zero_copy_only=False)
        part = vectors[first : first + len(some)]
        products = keys.filter(pa.array(~is_query))
        part[~is_query] = inputs.vectors("text", products.to_pylist()).only()
        texts = _query_texts(inputs.snapshot, keys.filter(pa.array(is_query)))
        part[is_query] = encode_texts(encoder.model, texts, inputs.settings.text.batch)
    return vectors


def _query_texts(snapshot: Snapshot, query_ids: pa.Array) -> list[str]:
    """Return the texts of these queries, in their order."""
    wanted = pa.table({"query_id": query_ids, "row": np.arange(len(query_ids))})
    with snapshot.connect() as connection:
        connection.register("wanted", wanted)
        rows = connection.execute(
            "SELECT text FROM wanted JOIN queries USING (query_id) ORDER BY row"
        ).fetchall()
    return [text for (text,) in rows]


def _copy(source: Path, target: Path, features: bool) -> None:
    """Copy the features from one folder to another, or all other files."""
    for path in sorted(source.iterdir()):
        if (path.name == FEATURES) == features:
            shutil.copyfile(path, target / path.name)
