"""Measure each step from the paper's recipe to Twinvec's, and plain baselines, on the same held-out edges.

    TWINVEC_HOME=… python benchmarks/recipe_steps.py --output benchmarks/results/recipe_steps.json

Trains on the training edges of the latest snapshot alone; versions that are needed and not there are made. Every row
ranks all products for the source of each test edge, without the source and its known co-purchases; models have vectors
of the same length.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.sparse.linalg
import torch
from torch import Tensor

from pipelines.comparisons.data import read_data
from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.related.data import edge_positives, relations
from pipelines.related.fitting import fit
from pipelines.related.models import merlin, twinvec
from pipelines.related.plan import Plan
from pipelines.related.proximity_choice import choose_proximity
from twinvec.metrics.direction import direction_metrics
from twinvec.metrics.ranking import rank_targets, ranking_metrics
from twinvec.nn.calibration import weight_fitter
from twinvec.nn.device import resolve_device
from twinvec.nn.features import Features
from twinvec.nn.losses.positives import Positives, blend
from twinvec.nn.losses.soft_targets import SoftTargetObjective
from twinvec.nn.models import Twinvec
from twinvec.nn.pagerank import personalised_pagerank, walk_matrix
from twinvec.nn.proximity import proximity
from twinvec.settings import RelatedSettings, load_settings
from twinvec.settings.related_models import ProximitySettings
from twinvec.workspace import Workspace


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    hits_at_1: float
    hits_at_10: float
    mrr_at_10: float
    auc_dir: float
    right_way: float
    seconds: float


def judge(name: str, source: Tensor, target: Tensor, graph: ProductGraph, seconds: float) -> Row:
    """Rank the test edges and print the line."""
    test, known = graph.edges(Split.TEST), graph.copurchase.matrix(graph.products)
    edges = (test.source, test.target)
    ranking = ranking_metrics(rank_targets(source, target, edges, known))
    direction = direction_metrics(source, target, edges, known)
    row = Row(
        name,
        ranking.hits_at_1,
        ranking.hits_at_10,
        ranking.mrr_at_10,
        direction.auc_dir,
        direction.right_way,
        seconds,
    )
    print(
        f"{name:44} {row.mrr_at_10:9.4f} {row.hits_at_1:7.4f} {row.hits_at_10:8.4f} {row.auc_dir:8.4f} "
        f"{row.right_way:9.4f} {row.seconds:8.1f}",
        flush=True,
    )
    return row


def popularity(graph: ProductGraph) -> tuple[Tensor, Tensor]:
    """Every product scored by how often it is a target."""
    into = np.bincount(graph.copurchase.target, minlength=graph.products).astype(np.float32)
    return torch.ones(graph.products, 1), torch.from_numpy(into)[:, None]


def directed_svd(graph: ProductGraph, dimension: int) -> tuple[Tensor, Tensor]:
    """Truncated singular value decomposition of the directed adjacency, its root on each side."""
    start = np.random.default_rng(0).standard_normal(graph.products)
    left, values, right = scipy.sparse.linalg.svds(
        graph.copurchase.matrix(graph.products), k=dimension, v0=start
    )
    root = np.sqrt(values)
    return torch.from_numpy((left * root).astype(np.float32)), torch.from_numpy(
        (right.T * root).astype(np.float32)
    )


def pagerank(graph: ProductGraph, coview_weight: float) -> tuple[Tensor, Tensor]:
    """Personalised PageRank itself, not compressed into vectors: a row of n scores a product."""
    matrix = graph.copurchase.matrix(graph.products)
    weights = walk_matrix(matrix, graph.coview.matrix(graph.products), coview_weight)
    scores = personalised_pagerank(weights, 0.15, 10, 1e-6, graph.products)
    return torch.from_numpy(scores.toarray()), torch.eye(graph.products)


def steps(
    graph: ProductGraph, content: Tensor, options: RelatedSettings, walked: ProximitySettings, seed: int
) -> dict[str, Callable[[], Plan]]:
    """Plans from the paper's to ours, each with one thing more than the one before."""
    recipe = options.twinvec
    width = options.dimension
    copurchase, coview = (edges.matrix(graph.products) for edges in (graph.copurchase, graph.coview))
    near = proximity(copurchase, coview, width, **walked.model_dump(), seed=seed)
    edges = edge_positives(graph)
    batch, epochs = twinvec.training_size(len(edges.sources()), recipe)
    none = torch.zeros(2 * graph.products, 0)

    def layer(factors: Tensor, positives: Positives, reverse: bool) -> Plan:
        cover = relations(graph, reverse)
        return Plan(
            model=Twinvec(content.shape[1], factors.shape[1], recipe.hidden, width, list(cover)),
            features=Features(content, factors),
            graph=cover,
            objective=SoftTargetObjective(positives, recipe.candidates, batch),
            epochs=epochs,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )

    both = blend(edges, near.matrix, recipe.near)
    return {
        "paper": lambda: merlin.plan(graph, content, options, seed),
        "one decoupled layer, softmax over the edges": lambda: layer(none, edges, reverse=False),
        "+ proximity factors as features": lambda: layer(near.factors, edges, reverse=False),
        "+ proximity in the softmax": lambda: layer(near.factors, both, reverse=False),
        "+ reverse edges as relations": lambda: layer(near.factors, both, reverse=True),
        "+ factor dropout, averaged weights, calibration": lambda: twinvec.plan(
            graph, content, options, seed
        ),
    }


def main() -> None:
    """Train, judge and print every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, help="file for the JSON result")
    parser.add_argument("--only", nargs="*", help="steps whose name contains one of these")
    options = parser.parse_args()
    settings = load_settings()
    workspace = Workspace(settings)
    snapshot = workspace.snapshot()
    ground = read_data(workspace, snapshot, print)
    graph, content = ground.graph, ground.features
    training = graph.training_part()
    held_out = graph.edges(Split.VALIDATION)
    known = graph.copurchase.matrix(graph.products)
    seen = graph.edges(Split.TRAIN, Split.VALIDATION).matrix(graph.products)
    fit_weights = weight_fitter(held_out.ends, seen, settings.related.direction, settings.seed)
    device = resolve_device(settings.device)

    def validate(source: Tensor, target: Tensor) -> float:
        return ranking_metrics(
            rank_targets(source, target, (held_out.source, held_out.target), known)
        ).mrr_at_10

    print(
        f"{'':44} {'MRR@10':>9} {'Hits@1':>7} {'Hits@10':>8} {'AUC-dir':>8} {'right way':>9} {'seconds':>8}"
    )
    walked = choose_proximity(training, settings.related.twinvec.proximity, settings.seed)
    rows = []
    baselines: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
        "popularity": lambda: popularity(training),
        "cosine of the aligned vectors": lambda: (content, content),
        f"directed SVD, {settings.related.dimension}": lambda: directed_svd(
            training, settings.related.dimension
        ),
        "personalised PageRank, co-purchases (no vectors)": lambda: pagerank(training, 0.0),
        "personalised PageRank, and co-views (no vectors)": lambda: pagerank(
            training, walked.coview_weight or 0.0
        ),
    }
    for name, baseline in baselines.items():
        if not options.only or any(part in name for part in options.only):
            started = time.perf_counter()
            rows.append(judge(name, *baseline(), graph, time.perf_counter() - started))
    for name, plan in steps(training, content, settings.related, walked, settings.seed).items():
        if not options.only or any(part in name for part in options.only):
            started = time.perf_counter()
            torch.manual_seed(settings.seed)
            fitted = fit(plan(), settings.related, device, settings.seed, validate, fit_weights=fit_weights)
            rows.append(judge(name, fitted.source, fitted.target, graph, time.perf_counter() - started))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        record = {"snapshot": snapshot.id, "edges": len(graph.edges(Split.TEST))}
        options.output.write_text(
            json.dumps({**record, "rows": [asdict(row) for row in rows]}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
