"""Ranking of what the index finds for a new product, by the ranker of the release for products without edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.cold_start.neighbours import AlignedProducts, Floats
from pipelines.graph.product_graph import load_graph
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.cold import NEAREST, Newcomer, compute_cold, nearest_rows
from pipelines.ranking.content import LEVELS, NONE, content_of
from pipelines.ranking.features import Known
from pipelines.ranking.loading import load_cold_ranker
from pipelines.ranking.ranker import Ranker
from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.settings import Settings
from twinvec.vectors.index import Hit

CategoryPath = tuple[str, ...]
# Number of a category path that the catalogue does not have: another than every product's.
UNKNOWN = -2
ONE_OF_EACH = "SELECT category, min(product_id) FROM products GROUP BY category"


@dataclass(frozen=True)
class NewProductRanker:
    """The ranker of a release for products without edges, with what it reads of the catalogue.

    May be used by several threads.

    Attributes:
        ranker: Ranker.
        known: Graph and content of the release's products, without text vectors.
        rows: Product id → row in the graph.
        aligned: Row in the graph of each product with an aligned vector, in their order, int64 [m].
        examples: Category path → row of a product with it.
        prefixes: Beginning of a category path → row of a product below it.
    """

    ranker: Ranker
    known: Known
    rows: Mapping[str, int]
    aligned: npt.NDArray[np.int64]
    examples: Mapping[CategoryPath, int]
    prefixes: Mapping[CategoryPath, int]

    def rank(self, hits: Sequence[Hit], cosines: Floats, path: CategoryPath) -> list[Hit]:
        """Return hits in the order of the ranker, with its scores; those with equal scores stay in their order.

        Args:
            hits: Hits of the index.
            cosines: Cosine of the new product and each product with an aligned vector, float32 [m].
            path: Category path of the new product.
        """
        if not hits:
            return []
        everywhere = np.zeros(self.known.products, np.float32)
        everywhere[self.aligned] = cosines
        levels, number, category = self.describe_path(path)
        near = self.aligned[nearest_rows(cosines, NEAREST)]
        product = Newcomer(everywhere, near, levels, number, category)
        candidates = np.array([self.rows[hit.product_id] for hit in hits])
        # One thread: more of them take longer to start than so few pairs take to score.
        scores = self.ranker.score(self.ranker.columns(compute_cold(self.known, product, candidates)), 1)
        return [
            hits[place]._replace(score=float(scores[place])) for place in np.argsort(-scores, kind="stable")
        ]

    def describe_path(self, path: CategoryPath) -> tuple[npt.NDArray[np.int32], int, int]:
        """Return the numbers of a category path: down to each level, of the whole path, and of its category.

        Args:
            path: Category path, which need not be one of the catalogue's.
        """
        content = self.known.content
        levels = np.full(LEVELS, NONE, np.int32)
        for level in range(min(LEVELS, len(path))):
            row = self.prefixes.get(path[: level + 1])
            levels[level] = UNKNOWN if row is None else content.levels[row, level]
        example = self.examples.get(path)
        if example is None:
            return levels, UNKNOWN if path else NONE, NONE
        return levels, int(content.path[example]), int(content.category[example])


def open_ranker(
    settings: Settings, lists: Version, graph_version: Version, products: AlignedProducts
) -> NewProductRanker | None:
    """Open the ranker of a version of lists for products without edges; None if it has none.

    Args:
        settings: Settings.
        lists: Version of lists.
        graph_version: Version of the graph that they were made from.
        products: Products with aligned vectors.

    Raises:
        StoreError: If the ranker cannot be read.
    """
    ranker = load_cold_ranker(lists)
    if ranker is None:
        return None
    graph, snapshot = load_graph(Path(graph_version.path)), open_snapshot(Path(graph_version.snapshot.path))
    content, _ = content_of(snapshot, settings.ingest.memory_limit, graph.product_ids, None)
    ids: list[str] = graph.product_ids.to_pylist()
    rows = {product_id: row for row, product_id in enumerate(ids)}
    with snapshot.connect() as connection:
        found = connection.execute(ONE_OF_EACH).fetchall()
    examples = {tuple(path or ()): rows[product_id] for path, product_id in found}
    prefixes = {path[:level]: row for path, row in examples.items() for level in range(1, len(path) + 1)}
    known = Catalogue(graph, content, settings.ranking).known(graph.copurchase, None)
    aligned = pc.index_in(products.product_ids.cast(pa.string()), graph.product_ids.cast(pa.string()))
    return NewProductRanker(ranker, known, rows, aligned.to_numpy().astype(np.int64), examples, prefixes)
