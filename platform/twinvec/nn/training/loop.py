"""The training loop of every graph encoder: any model, any sampler, any device."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from twinvec.errors import SettingsError
from twinvec.nn import processes
from twinvec.nn.graph_encoder import GraphEncoder, NodeFeatures
from twinvec.nn.losses.objective import Batch, Objective
from twinvec.nn.sampling.blocks import Block, Sampler
from twinvec.nn.training.memory import freed_memory_kept


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: from 1.
        loss: mean over steps.
        validation: what `validate` gave, or None.
        seconds: of training, without the validation.
        edges_per_second: sampled edges that were aggregated over.
    """

    number: int
    loss: float
    validation: float | None
    seconds: float
    edges_per_second: float

    def __str__(self) -> str:
        figure = "" if self.validation is None else f", validation MRR@10 {self.validation:.4f}"
        return f"epoch {self.number}: loss {self.loss:.4f}{figure}"

    def figures(self) -> dict[str, float]:
        """What was measured, by name."""
        measured = asdict(self)
        del measured["number"]
        return {name: value for name, value in measured.items() if value is not None}


@freed_memory_kept()
def train(
    model: GraphEncoder,
    features: NodeFeatures,
    sampler: Sampler,
    objective: Objective,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    validate: Callable[[GraphEncoder], float] | None = None,
    patience: int | None = None,
    last: int | None = None,
    mixed_precision: bool = False,
    averaging: float = 0.0,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train `model` in place; with `validate`, stop early and leave the best epoch's weights in it.

    Sampling runs one batch ahead in a thread of its own, beside the step. Where several processes train together,
    all call this with the same arguments; each takes its share of every epoch's batches.

    Args:
        model: on the device to train on.
        features: on the same device.
        sampler: of neighbourhoods; its blocks are moved to the device.
        objective: gives the batches.
        epochs: at most; the learning rate falls linearly towards zero after the last.
        learning_rate: of AdamW, in the first epoch.
        weight_decay: of AdamW.
        seed: of the order of batches and of negatives.
        validate: gives a figure of the model that is better when higher; called after every epoch.
        patience: epochs without a better figure before stopping; None goes on to the last.
        last: epoch to stop after, with the learning rates of the whole course; `epochs` if not given.
        mixed_precision: run the model in bfloat16 where that is safe.
        averaging: share of the running average of the weights that a step leaves as it was, less in the first
            steps; it is the average that is validated and stays in the model. With 0 it is the weights themselves.
        report: called after each epoch.

    Returns:
        What each epoch came to.

    Raises:
        SettingsError: if an epoch has no batch, or fewer than there are processes.
    """
    device = features.device
    generator = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: 1 - epoch / epochs)
    runner = processes.parallel(model)
    averaged = AveragedModel(model, avg_fn=_running_average(averaging)) if averaging else None
    judged = model if averaged is None else cast(GraphEncoder, averaged.module)
    history: list[Epoch] = []
    best, best_weights, since = -np.inf, copy.deepcopy(model.state_dict()), 0
    for number in range(1, (last or epochs) + 1):
        model.train()
        losses, edges, started = [], 0, time.perf_counter()
        for batch, block in _prefetch(objective, sampler, generator):
            block = block.to(device)
            with torch.autocast(device.type, torch.bfloat16) if mixed_precision else nullcontext():
                vectors = runner(*features.of(block.nodes), block)
            loss = batch.loss(vectors.float())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if averaged is not None:
                averaged.update_parameters(model)
            losses.append(loss.detach())
            edges += sum(len(part.positions) for hop in block.hops for part in hop.neighbours.values())
        schedule.step()
        if not losses:
            raise SettingsError(
                f"an epoch has fewer batches than the {processes.count()} processes that train together",
                "set a smaller batch, or start fewer processes",
            )
        summed = torch.stack(losses).sum().cpu()
        loss_sum, steps, edges = processes.total(torch.tensor([summed, len(losses), edges])).tolist()
        seconds = time.perf_counter() - started
        figure = validate(judged) if validate else None
        history.append(Epoch(number, loss_sum / steps, figure, seconds, edges / seconds))
        report(history[-1])
        if figure is not None:
            if figure > best:
                best, best_weights, since = figure, copy.deepcopy(judged.state_dict()), 0
            else:
                since += 1
            if patience is not None and since >= patience:
                break
    model.load_state_dict(best_weights if validate else judged.state_dict())
    return history


def _running_average(share: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """What `AveragedModel` calls with an average, the weights, and how many it is of.

    A share that stays the same would keep the untrained weights in the average of a short training.
    """

    def average(so_far: Tensor, weights: Tensor, number: Tensor | int) -> Tensor:
        return so_far.lerp(weights, 1 - min(share, (1 + int(number)) / (10 + int(number))))

    return average


def _prefetch(
    objective: Objective, sampler: Sampler, generator: np.random.Generator
) -> Iterator[tuple[Batch, Block]]:
    batches = processes.share(objective.batches(generator))

    def following() -> tuple[Batch, Block] | None:
        batch = next(batches, None)
        return None if batch is None else (batch, sampler.sample(batch.seeds))

    with ThreadPoolExecutor(1) as executor:
        ahead = executor.submit(following)
        while (ready := ahead.result()) is not None:
            ahead = executor.submit(following)
            yield ready
