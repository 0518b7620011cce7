"""What the stage knows of a catalogue, whichever edges are observed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.ranking.content import Content
from pipelines.ranking.features import Known, Vectors, Walks
from pipelines.ranking.listing import Marks, Ranked, make_lists
from pipelines.ranking.ranker import Ranker
from pipelines.ranking.relations import Relations
from pipelines.ranking.sparse import IntArray

if TYPE_CHECKING:
    from twinvec.settings import RankingSettings


@dataclass(frozen=True)
class Catalogue:
    """What does not depend on which edges are observed.

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
        """Return what is known of the products if these co-purchases are observed."""
        options, graph = self.options, self.graph
        relations = Relations.of(observed, graph.coview, graph.products, options.hub, options.similar)
        walks = Walks(options.restart, options.steps, options.least)
        return Known(relations, self.content, vectors, walks, options.compared)

    def lists(
        self,
        known: Known,
        ranker: Ranker | None,
        sources: IntArray,
        length: int,
        without: sp.csr_array | None = None,
        taken: Ranked | None = None,
    ) -> Ranked:
        """Return the lists of some sources; without a ranker, in the order of the vectors. See `make_lists`."""
        options = self.options
        return make_lists(
            known,
            ranker,
            sources,
            length,
            options.candidates,
            options.chunk,
            options.threads,
            without,
            taken,
            self.identities,
        )
