"""A catalogue as the stage knows it, and what is known if some of its edges are observed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.ranking.cold import lend_vectors
from pipelines.ranking.content import Content
from pipelines.ranking.features import Known, Marks, Vectors, Walks
from pipelines.ranking.relations import Relations

if TYPE_CHECKING:
    from twinvec.settings import RankingSettings


@dataclass(frozen=True)
class Catalogue:
    """A catalogue, whichever edges are observed.

    Attributes:
        graph: The graph with its splits.
        content: Content of its products.
        options: Settings of the stage.
    """

    graph: ProductGraph
    content: Content
    options: RankingSettings

    @cached_property
    def identities(self) -> Marks:
        """A digest of each product's id, uint64 [n]."""
        ids = self.graph.product_ids.to_numpy(zero_copy_only=False)
        return pd.util.hash_array(ids, categorize=False).astype(np.uint64)

    def known(self, observed: Edges, vectors: Vectors | None) -> Known:
        """Return what is known of the products if these co-purchases are observed.

        Products without edges are lent the source vectors of products like them.
        """
        options, graph = self.options, self.graph
        relations = Relations.of(observed, graph.coview, graph.products, options.hub, options.similar)
        walks = Walks(options.restart, options.steps, options.least)
        known = Known(relations, self.content, vectors, walks, self.identities)
        if vectors is None:
            return known
        return replace(known, vectors=lend_vectors(vectors, self.content.text, known.degrees))
