"""The space `aligned`: text and image features aligned over co-views (MERLIN 3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from pipelines.alignment.space import SPACE
from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.graph.renumbering import renumbered
from twinvec import digest
from twinvec.metrics.coviews import rank_coviews
from twinvec.nn.device import resolve_device
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.losses.coviews import CoviewObjective
from twinvec.nn.models.alignment import (
    AlignmentEncoder,
    ContentFeatures,
    FullCoviews,
    coview_means,
    example,
)
from twinvec.nn.sampling.blocks import Neighbours, RowSampler
from twinvec.nn.training.inference import infer
from twinvec.nn.training.loop import Epoch
from twinvec.nn.training.loop import train as train_encoder
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.settings import AlignedSettings
    from twinvec.tracking import Run

(FIELD,) = SPACE.fields
MOST_SAMPLED = 20_000
IntArray = npt.NDArray[np.int64]


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Train on co-views over text and image vectors, and embed every product that has either."""
    settings, options = inputs.settings, inputs.settings.aligned
    device = resolve_device(settings.device)
    torch.manual_seed(settings.seed)
    graph = load_graph(inputs.folder("graph"))
    features = read_features(inputs, graph).to(device)
    embeddable = (features.has_text | features.has_image).cpu().numpy()
    # A product with neither text nor image carries no information to its co-viewed products.
    number = np.where(embeddable, np.arange(graph.products), -1)
    training, held_out, test = (renumbered(graph.coviews(split), number) for split in Split)
    # Training, validation and test average over the same co-views, in both directions; held-out ones are left out.
    pairs = torch.from_numpy(np.stack(training.ends))
    means = coview_means(features, neighbours_of(training, graph.products).to(device), pairs.to(device))
    model = AlignmentEncoder(
        features.text.shape[1], features.image.shape[1], options.dimension, options.content_share
    ).to(device)
    sample = torch.randperm(features.nodes)[:MOST_SAMPLED].to(device)
    model.start_at_principal_axes(means.own[sample])
    validation = sample_validation(held_out, training, embeddable, options, settings.seed)
    validated = means.only(torch.from_numpy(validation.products).to(device))

    def validate(trained: GraphEncoder) -> float:
        return rank_coviews(infer(trained, validated, {}), validation.pairs, validation.seen).mrr_at_10

    def report(epoch: Epoch) -> None:
        figures = epoch.figures()
        del figures["edges_per_second"]  # no edges are sampled
        run.log_epoch(epoch.number, figures)
        progress(str(epoch))

    before = validate(model) if len(held_out) else 0.0
    history = []
    if len(training):
        history = train_encoder(
            model,
            means,
            RowSampler(),
            CoviewObjective(
                pairs[0],
                pairs[1],
                torch.from_numpy(np.flatnonzero(embeddable)),
                offset=graph.products,
                pool=options.pool,
                most=options.pairs,
                scale=options.scale,
                batch=options.batch,
            ),
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            weight_decay=0.0,
            seed=settings.seed,
            validate=validate if len(held_out) else None,
            patience=options.patience,
            report=report,
        )
    everything = torch.arange(graph.products, device=device)
    tested = infer(model, means.only(everything), {})
    test_metrics = rank_coviews(tested, test.ends, training.matrix(graph.products))
    coviews = neighbours_of(renumbered(graph.coviews(*Split), number), graph.products)
    vectors = infer(model, coview_means(features, coviews.to(device)), {}).cpu().numpy()
    present = np.flatnonzero(embeddable)
    return Outcome(
        keys=graph.product_ids.take(present).to_pylist(),
        vectors={FIELD: vectors[present]},
        metric="cosine",
        normalised=True,
        model=model_digest(model),
        preprocessing=digest.of_json(options.deciding()),
        metrics={
            "untrained_mrr_at_10": before,
            "validation_mrr_at_10": max((e.validation or 0.0 for e in history), default=before),
            "coview_mrr_at_10": test_metrics.mrr_at_10,
            "coverage": float(embeddable.mean()),
            "with_text": float(features.has_text.float().mean()),
            "with_image": float(features.has_image.float().mean()),
        },
        log_model=lambda: run.log_model(FullCoviews(model.cpu()), example(model)),
    )


@dataclass(frozen=True)
class Validation:
    """Held-out co-views and the products among which they are ranked.

    Attributes:
        products: Numbers of these products, ascending, int64 [m].
        pairs: Positions of the pairs' ends in `products`, int64 [pairs] each.
        seen: Training co-views between the products, [m, m].
    """

    products: IntArray
    pairs: tuple[IntArray, IntArray]
    seen: sp.csr_array


def sample_validation(
    held_out: Edges, training: Edges, embeddable: npt.NDArray[np.bool_], options: AlignedSettings, seed: int
) -> Validation:
    """Return a sample of held-out co-views, and their ends with other products at random, as the settings bound them.

    Args:
        held_out, training: Co-views held out and trained on, each pair once.
        embeddable: Mask of the products that have a vector, bool [n].
        options: Settings of the alignment.
        seed: Seed of the other products.
    """
    pairs = held_out.evenly(options.validation_pairs)
    ends = np.unique(np.concatenate(pairs.ends))
    others = np.setdiff1d(np.flatnonzero(embeddable), ends)
    drawn = np.random.default_rng(seed).permutation(others)
    products = np.sort(np.concatenate([ends, drawn[: max(0, options.validation_products - len(ends))]]))
    number = np.full(len(embeddable), -1)
    number[products] = np.arange(len(products))
    seen = renumbered(training, number).matrix(len(products))
    return Validation(products, (number[pairs.source], number[pairs.target]), seen)


def read_features(inputs: Inputs, graph: ProductGraph) -> ContentFeatures:
    """Return the text and image vectors of the graph's products, in its order."""
    keys: list[str] = graph.product_ids.to_pylist()
    parts: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]] = {}
    for space in SPACE.uses:
        if space in inputs.versions:
            read = inputs.vectors(space, keys)
            parts[space] = (read.only(), read.present)
        else:
            parts[space] = (np.zeros((len(keys), 0), np.float32), np.zeros(len(keys), np.bool_))
    return ContentFeatures(*(torch.from_numpy(array) for space in SPACE.uses for array in parts[space]))


def neighbours_of(coview: Edges, products: int) -> Neighbours:
    """Return the co-viewed products of each product, in both directions."""
    matrix = sp.csr_array(coview.both_ways().matrix(products))
    return Neighbours(
        torch.from_numpy(matrix.indptr.astype(np.int64)), torch.from_numpy(matrix.indices.astype(np.int64))
    )
