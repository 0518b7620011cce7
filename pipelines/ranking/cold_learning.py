"""Learning of the ranker for products without edges, and its comparison with the order of the vectors.

Products of the catalogue stand in for new ones: a tenth of them at a time is taken out of the graph with all its edges
and is told by content alone, as a new product is. The vectors find the candidates and are no features: they have seen
the edges of these products. In the comparison they keep that advantage, so what beats them here beats them the more
where a product is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from pipelines.graph.product_graph import Edges, Split
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.cold import (
    BLOCK,
    CANDIDATES,
    NEAREST,
    NEIGHBOURS,
    Newcomer,
    compute_cold,
    nearest_rows,
    weigh,
)
from pipelines.ranking.features import Known, Vectors
from pipelines.ranking.ranker import Examples, Ranker, fit
from pipelines.ranking.sparse import FloatArray, IntArray, row_numbers, rows_of
from twinvec.progress import Progress

# Parts of the products that are taken out in turn.
PARTS = 10
# Most products that stand in for new ones, in each pass.
MOST = 4_000
# Most trees, and leaves of each: there is less to learn than for lists, and it is asked while somebody waits.
TREES, LEAVES = 150, 15
# Rank of what is not among the candidates, and half the width of a 95% interval in standard errors.
LAST, WIDTH = 1_000.0, 1.96


@dataclass(frozen=True)
class Query:
    """Candidates of a product that was taken out.

    Attributes:
        source: Row of the product.
        candidates: Their rows, best first by the vectors, int64 [c].
        examples: Their features, and which are targets that were hidden.
        targets: Number of hidden targets, candidates or not.
    """

    source: int
    candidates: IntArray
    examples: Examples
    targets: int

    @property
    def hidden(self) -> npt.NDArray[np.bool_]:
        """Return which candidates are targets that were hidden, bool [c]."""
        return self.examples.hidden > 0


@dataclass(frozen=True)
class Gain:
    """Two orders of the same candidates, on the same edges.

    Attributes:
        edges: Number of edges.
        mrr_at_10, hits_at_10: Figures of the ranker.
        vectors_mrr_at_10, vectors_hits_at_10: Figures of the order of the vectors.
        mrr_low, mrr_high, hits_low, hits_high: 95% intervals of the differences, by sources.
    """

    edges: int = 0
    mrr_at_10: float = 0.0
    hits_at_10: float = 0.0
    vectors_mrr_at_10: float = 0.0
    vectors_hits_at_10: float = 0.0
    mrr_low: float = 0.0
    mrr_high: float = 0.0
    hits_low: float = 0.0
    hits_high: float = 0.0


def learn_cold(
    catalogue: Catalogue, alone: FloatArray, vectors: Vectors, seed: int, progress: Progress
) -> tuple[Ranker | None, dict[str, float]]:
    """Return the ranker for products without edges if it is to be used, and figures.

    It is compared with the order of the vectors on validation edges, of sources that it has not learned from, and
    tested on the test edges of sources in no other edge.

    Args:
        catalogue: Graph, content and settings.
        alone: Vector of each product by content alone, of length one, float32 [n, d].
        vectors: Vectors that were trained on the training edges alone.
        seed: Seed of the parts and of the trees.
        progress: Called with messages.
    """
    graph, options = catalogue.graph, catalogue.options
    training, validation = graph.edges(Split.TRAIN), graph.edges(Split.VALIDATION)
    lessons = training.only(~np.isin(training.source, validation.source))
    stand_ins = StandIns(catalogue, alone, vectors, seed)
    first = stand_ins.fit(training, lessons) if len(lessons) >= options.min_edges else None
    judged, tested = Gain(), Gain()
    if first is not None:
        judged = compare(first, list(stand_ins.queries(training, validation)))
        observed = graph.edges(Split.TRAIN, Split.VALIDATION)
        test = graph.edges(Split.TEST)
        unseen = test.only(~np.isin(test.source, observed.source))
        tested = compare(first, list(stand_ins.queries(observed, unseen)))
        progress(
            f"products without edges: validation MRR@10 {judged.mrr_at_10:.4f}, in the order of the vectors "
            f"{judged.vectors_mrr_at_10:.4f}, difference {judged.mrr_low:+.4f} to {judged.mrr_high:+.4f}"
        )
    used = options.cold == "on" or judged.mrr_low > 0
    ranker = stand_ins.fit(graph.copurchase, graph.copurchase) if used else None
    return ranker, _figures(ranker, judged, tested)


def _figures(ranker: Ranker | None, judged: Gain, tested: Gain) -> dict[str, float]:
    return {
        "cold": float(ranker is not None),
        **{f"cold_validation_{name}": value for name, value in _named(judged).items()},
        **{f"cold_{name}": value for name, value in _named(tested).items()},
    }


def _named(gain: Gain) -> dict[str, float]:
    return {name: float(value) for name, value in vars(gain).items()}


@dataclass(frozen=True)
class StandIns:
    """Products that are taken out of a catalogue, a part at a time; see `learn_cold` for the attributes."""

    catalogue: Catalogue
    alone: FloatArray
    vectors: Vectors
    seed: int

    def fit(self, observed: Edges, hidden: Edges) -> Ranker | None:
        """Return a ranker that learned from hidden edges; None if they are no candidates."""
        parts = [query.examples for query in self.queries(observed, hidden) if query.hidden.any()]
        if not parts:
            return None
        options = self.catalogue.options
        smaller = {"trees": min(options.trees, TREES), "leaves": min(options.leaves, LEAVES)}
        return fit(Examples.together(parts), options.model_copy(update=smaller), self.seed)

    def queries(self, observed: Edges, hidden: Edges) -> Iterator[Query]:
        """Yield the candidates of the sources of hidden edges, each taken out of the observed graph.

        Candidates are no other targets of a source in the graph than the hidden ones.
        """
        graph = self.catalogue.graph
        known_targets, targets = (edges.matrix(graph.products) for edges in (graph.copurchase, hidden))
        random = np.random.default_rng(self.seed)
        sources = random.permutation(np.unique(hidden.source))[:MOST]
        for number in range(PARTS):
            some = np.sort(sources[number::PARTS])
            taken = np.zeros(graph.products, np.bool_)
            taken[some] = True
            known = without(self.catalogue, observed, taken)
            # Each has a cosine and a dot product with all products.
            for batch in np.array_split(some, 1 + len(some) * graph.products // BLOCK):
                yield from self._asked(
                    known, taken, batch, rows_of(targets, batch), rows_of(known_targets, batch)
                )

    def _asked(
        self,
        known: Known,
        taken: npt.NDArray[np.bool_],
        batch: IntArray,
        targets: sp.csr_array,
        known_targets: sp.csr_array,
    ) -> Iterator[Query]:
        """Yield the candidates of some products that were taken out, of which these are the hidden and all targets."""
        content = self.catalogue.content
        assert content.text is not None
        cosines = self.alone[batch] @ content.text.T
        likeness = np.where(taken, -np.inf, cosines)
        near = nearest_rows(likeness, NEAREST)
        weights = weigh(np.take_along_axis(likeness, near[:, :NEIGHBOURS], 1))
        sources = np.einsum("tk,tkd->td", weights, self.vectors.source[near[:, :NEIGHBOURS]])
        dots = sources @ self.vectors.target.T
        dots[:, taken] = -np.inf
        hidden = row_numbers(targets), targets.indices
        kept = dots[hidden]
        dots[row_numbers(known_targets), known_targets.indices] = -np.inf
        dots[hidden] = kept
        candidates = nearest_rows(dots, CANDIDATES)
        for row, source in enumerate(batch):
            product = Newcomer(
                cosines[row],
                near[row][~taken[near[row]]],
                content.levels[source],
                int(content.path[source]),
                int(content.category[source]),
            )
            chosen = candidates[row][np.isfinite(dots[row, candidates[row]])]
            mine = targets.indices[targets.indptr[row] : targets.indptr[row + 1]]
            values = compute_cold(known, product, chosen)
            found = np.isin(chosen, mine).astype(np.float32)
            features = np.stack([*values.values()], axis=1)
            examples = Examples(tuple(values), features, found, np.array([len(chosen)]))
            yield Query(int(source), chosen, examples, len(mine))


def without(catalogue: Catalogue, observed: Edges, taken: npt.NDArray[np.bool_]) -> Known:
    """Return what is known of a catalogue without the edges and co-views of the products that are taken out."""
    graph = catalogue.graph
    left = ~(taken[graph.coview.source] | taken[graph.coview.target])
    reduced = replace(graph, coview=graph.coview.only(left), coview_split=graph.coview_split[left])
    kept = observed.only(~(taken[observed.source] | taken[observed.target]))
    return replace(catalogue, graph=reduced).known(kept, None)


def compare(ranker: Ranker, queries: list[Query]) -> Gain:
    """Return the figures of the ranker and of the order of the vectors on the hidden targets of some queries."""
    if not queries:
        return Gain()
    vectors, ranked = (
        np.concatenate(ranks) for ranks in zip(*(_ranks(ranker, each) for each in queries), strict=True)
    )
    source = np.repeat(np.arange(len(queries)), [query.targets for query in queries])
    figures: dict[str, float] = {}
    for name, values in (("mrr", _reciprocal), ("hits", _hit)):
        ours, theirs = values(ranked), values(vectors)
        low, high = interval(ours - theirs, source)
        figures |= {
            f"{name}_at_10": float(ours.mean()),
            f"vectors_{name}_at_10": float(theirs.mean()),
            f"{name}_low": low,
            f"{name}_high": high,
        }
    return Gain(edges=len(source), **figures)


def interval(differences: npt.NDArray[np.float64], source: IntArray) -> tuple[float, float]:
    """Return the 95% interval of the mean of differences, [edges], whose edges of one source go together."""
    mean = differences.mean()
    deviation = np.bincount(source, differences - mean)
    half = WIDTH * float(np.sqrt((deviation**2).sum())) / len(differences)
    return float(mean - half), float(mean + half)


def _ranks(ranker: Ranker, query: Query) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the rank of each hidden target among the candidates that are none, by the vectors and by the ranker."""
    scores = ranker.score(query.examples.features, 1)
    orders = -np.arange(len(query.candidates), dtype=np.float32), scores
    absent = np.full(query.targets - int(query.hidden.sum()), LAST)
    ranks = []
    for order in orders:
        others, own = order[~query.hidden], order[query.hidden, None]
        better = (others > own).sum(1) + (others == own).sum(1) / 2
        ranks.append(np.concatenate([1 + better, absent]))
    return ranks[0], ranks[1]


def _reciprocal(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(ranks <= 10, 1 / ranks, 0)


def _hit(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (ranks <= 10).astype(np.float64)
