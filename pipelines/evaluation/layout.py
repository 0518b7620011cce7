"""Places of all products of a version on a plane: t-SNE of a sample, and the others beside their nearest of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import NotFoundError, StateError
from twinvec.features.manifest import Manifest
from twinvec.progress import Progress
from twinvec.vectors.maps import GROUPS, X, Y, open_map, write_map
from twinvec.workspace import Workspace

FloatArray = npt.NDArray[np.float32]
# Products that t-SNE places; its time grows faster than their number.
LANDMARKS = 5000
# Landmarks that place another product, and products that are placed at a time.
NEAREST, BATCH = 8, 8192
# How much closer a landmark has to be to count e times as much, in cosine.
WIDTH = 0.05
PRODUCTS_SQL = """
    WITH pairs AS (
        SELECT source AS product_id, count FROM copurchase UNION ALL SELECT target, count FROM copurchase
    ), bought AS (SELECT product_id, sum(count) AS popularity FROM pairs GROUP BY ALL),
    viewed AS (SELECT source AS product_id FROM coview UNION SELECT target FROM coview)
    SELECT product_id, map_values(title)[1] AS title, image, coalesce(category[1], '') AS category,
           marketplace, price::FLOAT AS price, coalesce(popularity, 0)::FLOAT AS popularity,
           popularity IS NULL AND viewed.product_id IS NULL AS cold
    FROM products LEFT JOIN bought USING (product_id) LEFT JOIN viewed USING (product_id)
    ORDER BY product_id
"""


def map_of(
    workspace: Workspace,
    version: Version,
    progress: Progress = lambda _message: None,
    again: bool = False,
) -> pa.Table:
    """Return the map of a version, which is made and kept if there is none; see `twinvec.vectors.maps`.

    Args:
        workspace: Stores.
        version: Version of any space of products.
        progress: Called with messages.
        again: Whether a map that is there is made anew.

    Raises:
        StateError: If the version has no vectors of products.
    """
    folder = Path(version.path)
    if not again:
        try:
            return open_map(folder, version.name)
        except NotFoundError:
            pass
    from twinvec.features.reading import read_vectors  # a map that is there needs no Feast

    manifest = Manifest.from_json(version.manifest)
    if manifest.entity != "product_id" or not manifest.dimension:
        raise StateError(
            f"{version.name} has no vectors of products", "draw a version of related, text or image"
        )
    with open_snapshot(Path(version.snapshot.path)).connect(
        workspace.settings.ingest.memory_limit
    ) as connection:
        table = connection.sql(PRODUCTS_SQL).to_arrow_table()
    read = read_vectors(workspace.features, version, table["product_id"].to_pylist())
    table = table.filter(pa.array(read.present))
    for name in GROUPS:
        table = table.set_column(table.schema.get_field_index(name), name, by_frequency(table[name]))
    varying = np.logical_and.reduce([vectors.std(axis=0) > 0 for vectors in read.fields.values()])
    for name, vectors in read.fields.items():
        role = name.removesuffix("_vector")
        progress(f"placing {table.num_rows:,} products by their {role} vectors")
        places = place(vectors[read.present][:, varying], workspace.settings.seed)
        table = table.append_column(role + X, pa.array(places[:, 0]))
        table = table.append_column(role + Y, pa.array(places[:, 1]))
    write_map(folder, table)
    return open_map(folder, version.name)


def by_frequency(names: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return strings as a dictionary whose most frequent entry is the first."""
    counts = names.value_counts()
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])
    entries = counts.field("values").take(order)
    return pa.DictionaryArray.from_arrays(
        pc.index_in(names.combine_chunks(), entries).cast(pa.int32()), entries
    )


def place(vectors: FloatArray, seed: int, landmarks: int = LANDMARKS) -> FloatArray:
    """Return places in −1…1, float32 [n, 2], of vectors [n, d].

    t-SNE places a sample; each other product goes to the mean of its nearest of the sample, weighted by their
    closeness, as new points join a map in Poličar et al. (openTSNE, 2019, without its last gradient steps).
    """
    n = len(vectors)
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    chosen = np.random.default_rng(seed).permutation(n)[:landmarks]
    known = lay_out(vectors[chosen], seed)
    places = np.empty((n, 2), np.float32)
    sample = unit[chosen]
    near = min(NEAREST, len(chosen))
    for first in range(0, n, BATCH):
        cosine = unit[first : first + BATCH] @ sample.T
        nearest = np.argpartition(-cosine, near - 1, axis=1)[:, :near]
        close = np.take_along_axis(cosine, nearest, axis=1)
        weight = np.exp((close - close.max(axis=1, keepdims=True)) / WIDTH)
        weight /= weight.sum(axis=1, keepdims=True)
        places[first : first + BATCH] = np.einsum("bk,bkx->bx", weight, known[nearest])
    places[chosen] = known
    low, high = places.min(axis=0), places.max(axis=0)
    scaled: FloatArray = (places - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-12)
    return scaled.astype(np.float32)


def lay_out(vectors: FloatArray, seed: int) -> FloatArray:
    """Return positions on a plane, float32 [n, 2], by t-SNE of the angles between vectors [n, d]."""
    if len(vectors) < 3:
        return np.arange(2 * len(vectors), dtype=np.float32).reshape(-1, 2)
    from sklearn.manifold import TSNE

    perplexity = min(30, (len(vectors) - 1) / 3)
    positions: FloatArray = TSNE(
        metric="cosine", init="random", perplexity=perplexity, random_state=seed
    ).fit_transform(vectors - vectors.mean(axis=0))
    return positions
