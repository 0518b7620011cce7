"""Training of the model that the settings name: from a graph and content to a trained model and its vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.data import COPURCHASE, EITHER
from pipelines.related.models import load_model
from pipelines.related.plan import Plan
from twinvec.nn.calibration import WeightFitter, calibrate
from twinvec.nn.device import resolve_precision
from twinvec.nn.features import Features
from twinvec.nn.models.full_graph import FullGraph
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.nn.sampling.samplers import make_sampler
from twinvec.nn.training.inference import infer_dual
from twinvec.nn.training.loop import Epoch, train
from twinvec.settings import RelatedSettings


@dataclass(frozen=True)
class Fitted:
    """A trained model and its vectors.

    Attributes:
        model: Function from features and the whole graph to vectors, on the CPU.
        features: Features that it read, on the CPU.
        graph: Relations that it aggregated over, on the CPU.
        source, target: Vectors of every product, float32 [n, dimension], on the device.
        history: Figures of each epoch.
    """

    model: FullGraph
    features: Features
    graph: Mapping[str, Neighbours]
    source: Tensor
    target: Tensor
    history: list[Epoch]


def make_plan(graph: ProductGraph, content: Tensor, options: RelatedSettings, seed: int) -> Plan:
    """Return the plan of the model that the settings name; all co-purchase edges of `graph` are trained on.

    Raises:
        SettingsError: If no installed package registers the model.
    """
    torch.manual_seed(seed)
    return load_model(options.recipe).plan(graph, content, options, seed)


def fanout(relation: str, options: RelatedSettings) -> int:
    """Return the number of neighbours sampled by a relation, from the kind of edges it is made of."""
    if relation == EITHER:
        return options.fanout_copurchase + options.fanout_coview
    return options.fanout_copurchase if relation.endswith(COPURCHASE) else options.fanout_coview


def fit(
    plan: Plan,
    options: RelatedSettings,
    device: torch.device,
    seed: int,
    validate: Callable[[Tensor, Tensor], float] | None = None,
    last: int | None = None,
    fit_weights: WeightFitter | None = None,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Train the model of a plan, and return it with the vectors of every product.

    Args:
        plan: The plan. Its model is trained in place.
        options: Settings of sampling and stopping.
        device: Device to train on.
        seed: Seed of everything random.
        validate: Returns a figure of source and target vectors, better when higher, to stop early by.
        last: Epoch to stop after.
        fit_weights: Returns the weights of the calibration; see `twinvec.nn.calibration`.
        report: Called after each epoch.
    """
    torch.manual_seed(seed)
    features = plan.features.to(device)
    mixed = resolve_precision(options.precision, device) == "bfloat16"
    # A step on a GPU mostly waits for memory, and the first layer would round what it reads anyway.
    read = features.to(device, torch.bfloat16) if mixed and device.type == "cuda" else features
    on_device = {name: neighbours.to(device) for name, neighbours in plan.graph.items()}
    fanouts = {name: fanout(name, options) for name in plan.graph}
    history = train(
        plan.model.to(device),
        read,
        make_sampler(options.sampler, on_device, fanouts, len(plan.model.layers), seed),
        plan.objective,
        plan.epochs,
        plan.learning_rate,
        plan.weight_decay,
        seed,
        validate=(lambda model: validate(*infer_dual(model, features, on_device))) if validate else None,
        patience=options.patience,
        last=last,
        mixed_precision=mixed,
        averaging=plan.averaging,
        report=report,
    )
    source, target = infer_dual(plan.model, features, on_device)
    calibration = None
    if plan.calibrate:
        predicted = next(iter(on_device.values()))
        calibration, source, target = calibrate(source, target, predicted, seed, fit_weights)
        calibration = calibration.cpu()
    model = FullGraph(plan.model.cpu(), list(plan.graph), calibration)
    return Fitted(model, plan.features, plan.graph, source, target, history)
