"""The two recipes, from a graph and content to a trained model: read them from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.calibration import Calibration
from pipelines.related.data import COPURCHASE, blend, edge_positives, proximity, relations
from pipelines.related.export import FullGraph
from pipelines.related.features import Features
from pipelines.related.inference import infer
from pipelines.related.model import PaperEncoder, TwinvecEncoder
from pipelines.related.softmax import SoftmaxObjective
from pipelines.sampling.blocks import Neighbours
from pipelines.sampling.samplers import make_sampler
from pipelines.training.encoder import GraphEncoder
from pipelines.training.loop import Epoch, train
from pipelines.training.margin import MarginObjective
from pipelines.training.objective import Objective
from twinvec.settings import RelatedSettings


@dataclass(frozen=True)
class Plan:
    """What a recipe trains: everything but the loop.

    Attributes:
        model: untrained.
        features: of the products of the graph.
        graph: relation → neighbours of the nodes of the double cover.
        objective: what is trained on.
        epochs, learning_rate, weight_decay: of the loop.
        calibrate: whether the vectors get the coordinate that makes scores comparable.
    """

    model: GraphEncoder
    features: Features
    graph: Mapping[str, Neighbours]
    objective: Objective
    epochs: int
    learning_rate: float
    weight_decay: float
    calibrate: bool = False


def paper_plan(graph: ProductGraph, content: Tensor, options: RelatedSettings) -> Plan:
    """MERLIN 3.6: equations 3 and 4 on the content, margin loss on the co-purchase edges."""
    recipe = options.paper
    cover = relations(graph, reverse=False)
    return Plan(
        model=PaperEncoder(content.shape[1], options.dimension, options.layers, list(cover)),
        features=Features(content, torch.zeros(2 * graph.products, 0)),
        graph=cover,
        objective=MarginObjective(
            torch.from_numpy(graph.copurchase.source),
            torch.from_numpy(graph.copurchase.target),
            graph.products,
            target_offset=graph.products,
            negatives=recipe.negatives,
            margin=recipe.margin,
            batch=recipe.batch,
        ),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=0.0,
    )


def twinvec_plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Twinvec's: proximity factors beside the content, residual layers, softmax over near products."""
    recipe = options.twinvec
    cover = relations(graph, reverse=True)
    width = options.dimension - 1  # the last coordinate is the calibration's
    near = proximity(graph, width, **recipe.proximity.model_dump(), seed=seed)
    return Plan(
        model=TwinvecEncoder(
            content.shape[1],
            near.factors.shape[1],
            width,
            options.layers,
            list(cover),
            recipe.factor_dropout,
        ),
        features=Features(content, near.factors),
        graph=cover,
        objective=SoftmaxObjective(
            blend(edge_positives(graph), near.matrix, recipe.near),
            draws=recipe.draws,
            candidates=recipe.candidates,
            batch=recipe.batch,
        ),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        calibrate=True,
    )


@dataclass(frozen=True)
class Fitted:
    """A trained model and the vectors it gives.

    Attributes:
        model: features and the whole graph in, vectors out; on the CPU.
        features: what it read, on the CPU.
        graph: what it aggregated over, on the CPU.
        source, target: vectors of every product, float32 [n, dimension], on the device.
        history: what each epoch came to.
    """

    model: FullGraph
    features: Features
    graph: Mapping[str, Neighbours]
    source: Tensor
    target: Tensor
    history: list[Epoch]


def make_plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """The plan of the recipe that the settings name; all co-purchase edges of `graph` are trained on."""
    torch.manual_seed(seed)
    if options.recipe == "paper":
        return paper_plan(graph, content, options)
    return twinvec_plan(graph, content, options, seed)


def fit(
    plan: Plan,
    options: RelatedSettings,
    device: torch.device,
    seed: int,
    validate: Callable[[Tensor, Tensor], float] | None = None,
    last: int | None = None,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Carry a plan out.

    Args:
        plan: what is trained; its model is trained in place.
        options: of sampling and stopping.
        device: to train on.
        seed: of everything random.
        validate: gives a figure of source and target vectors, to stop early by.
        last: epoch to stop after.
        report: called after each epoch.
    """
    torch.manual_seed(seed)
    features = plan.features.to(device)
    on_device = {name: neighbours.to(device) for name, neighbours in plan.graph.items()}
    fanouts = {
        name: options.fanout_copurchase if name.endswith(COPURCHASE) else options.fanout_coview
        for name in plan.graph
    }
    sampled = on_device if options.sampler == "csr" else plan.graph
    history = train(
        plan.model.to(device),
        features,
        make_sampler(options.sampler, sampled, fanouts, options.layers, seed),
        plan.objective,
        plan.epochs,
        plan.learning_rate,
        plan.weight_decay,
        seed,
        validate=(lambda model: validate(*infer(model, features, on_device))) if validate else None,
        patience=options.patience,
        last=last,
        mixed_precision=options.precision == "bfloat16",
        report=report,
    )
    source, target = infer(plan.model, features, on_device)
    calibration = None
    if plan.calibrate:
        calibration = Calibration(target, seed)
        source, target = calibration(source, target)
        calibration = calibration.cpu()
    model = FullGraph(plan.model.cpu(), list(plan.graph), calibration)
    return Fitted(model, plan.features, plan.graph, source, target, history)
