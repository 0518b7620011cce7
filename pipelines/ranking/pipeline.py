"""Training of the space `ranking`: a ranker that learns from hidden edges, and the lists that it makes.

The ranker learns from training and validation edges, which are hidden a part at a time: the features of a hidden edge
are computed from all edges but its part. It is judged on the test edges, seen from all others, with candidates by
vectors that were trained on the training edges alone. Then a ranker learns in the same way from all edges, and the
lists are by that one, from all edges and the published vectors. A second ranker is for products without edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.graph.product_graph import load_graph
from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.cold_learning import learn_cold
from pipelines.ranking.content import read_content
from pipelines.ranking.features import Vectors
from pipelines.ranking.learning import hide_in_turn, learn
from pipelines.ranking.listing import make_lists
from pipelines.ranking.outcome import COLD_RANKER, NO_RANKER, outcome_of
from pipelines.ranking.pictures import draw_contributions, draw_importances
from pipelines.ranking.ranker import Examples, Ranker, fit
from pipelines.ranking.vectors import encode_alone, read_published_vectors, read_tested_vectors
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import log_pictures

if TYPE_CHECKING:
    from twinvec.tracking import Run

PICTURED = 2_000


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Learn from hidden edges, test on held-out edges, and list the best of every product."""
    settings, options = inputs.settings, inputs.settings.ranking
    graph = load_graph(inputs.folder("graph"))
    content, marketplaces = read_content(inputs, graph.product_ids)
    catalogue = Catalogue(graph, content, options)
    tested = read_tested_vectors(inputs, graph)
    learned = learn(catalogue, tested, settings.seed, progress)
    ranker, examples = learned.ranker, learned.examples
    if ranker is not None and options.refit:
        progress(f"learning again from all {len(graph.copurchase):,} edges")
        examples = hide_in_turn(catalogue, graph.copurchase, settings.seed)
        ranker = fit(examples, options, settings.seed)
    cold, cold_metrics = _learn_cold(inputs, catalogue, tested, progress)
    if cold is not None:
        run.log_text(COLD_RANKER, cold.booster.model_to_string())
    progress(f"listing the best {options.length} of {graph.products:,} products")
    known = catalogue.known(graph.copurchase, read_published_vectors(inputs, graph))
    ranked = make_lists(known, ranker, np.arange(graph.products), options)
    if ranker is not None and examples is not None:
        _log_pictures(inputs, run, ranker, examples)
    return outcome_of(
        catalogue,
        marketplaces,
        ranked,
        {**learned.metrics, **cold_metrics},
        model=ranker.digest if ranker is not None else NO_RANKER,
        log_model=(lambda: run.log_trees(ranker.booster)) if ranker is not None else None,
        tested=learned.tested,
        cold=cold,
    )


def _learn_cold(
    inputs: Inputs, catalogue: Catalogue, tested: Vectors | None, progress: Progress
) -> tuple[Ranker | None, dict[str, float]]:
    """Return the ranker for products without edges and its figures; none where no product can be told by content."""
    if tested is None or catalogue.options.cold == "off":
        return None, {}
    alone = encode_alone(inputs, catalogue.graph)
    if alone is None:
        return None, {}
    return learn_cold(catalogue, alone, tested, inputs.settings.seed, progress)


def _log_pictures(inputs: Inputs, run: Run, ranker: Ranker, examples: Examples) -> None:
    """Log the importances of the features, and the contributions to the scores of pairs it has learned from."""
    random = np.random.default_rng(inputs.settings.seed)
    some = examples.features[random.permutation(len(examples.features))[:PICTURED]]
    pictures = {
        "importances.png": draw_importances(ranker.importances()),
        "contributions.png": draw_contributions(ranker.names, some, ranker.contributions(some)),
    }
    log_pictures(inputs.settings, run.id, pictures)
