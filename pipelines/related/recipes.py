"""From a graph and content to a trained model, whichever the settings name; read it from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.graph.product_graph import ProductGraph
from pipelines.related.calibration import Settle, calibrated
from pipelines.related.data import COPURCHASE, EITHER
from pipelines.related.export import FullGraph
from pipelines.related.inference import infer
from pipelines.related.models import MODELS
from pipelines.related.plan import Plan
from twinvec.nn.features import Features
from twinvec.nn.sampling.blocks import Neighbours
from twinvec.nn.sampling.samplers import make_sampler, resolve_sampler
from twinvec.nn.training.loop import Epoch, train
from twinvec.settings import RelatedSettings


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
    """The plan of the model that the settings name; all co-purchase edges of `graph` are trained on."""
    torch.manual_seed(seed)
    return MODELS[options.recipe].plan(graph, content, options, seed)


def fanout(relation: str, options: RelatedSettings) -> int:
    """Most neighbours by a relation that are sampled, by the kind of edges it is made of."""
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
    settle: Settle | None = None,
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
        settle: gives the weights of the calibration; see `pipelines.related.calibration`.
        report: called after each epoch.
    """
    torch.manual_seed(seed)
    features = plan.features.to(device)
    on_device = {name: neighbours.to(device) for name, neighbours in plan.graph.items()}
    fanouts = {name: fanout(name, options) for name in plan.graph}
    sampler = resolve_sampler(options.sampler)
    sampled = on_device if sampler == "csr" else plan.graph
    history = train(
        plan.model.to(device),
        features,
        make_sampler(sampler, sampled, fanouts, options.layers, seed),
        plan.objective,
        plan.epochs,
        plan.learning_rate,
        plan.weight_decay,
        seed,
        validate=(lambda model: validate(*infer(model, features, on_device))) if validate else None,
        patience=options.patience,
        last=last,
        mixed_precision=options.precision == "bfloat16",
        averaging=plan.averaging,
        report=report,
    )
    source, target = infer(plan.model, features, on_device)
    calibration = None
    if plan.calibrate:
        predicted = next(iter(on_device.values()))
        calibration, source, target = calibrated(source, target, predicted, seed, settle)
        calibration = calibration.cpu()
    model = FullGraph(plan.model.cpu(), list(plan.graph), calibration)
    return Fitted(model, plan.features, plan.graph, source, target, history)
