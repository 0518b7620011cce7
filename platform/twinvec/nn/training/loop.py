"""Training loop of graph encoders, for any model, sampler, objective and device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import torch

from twinvec.errors import SettingsError
from twinvec.nn import processes
from twinvec.nn.graph_encoder import GraphEncoder, NodeFeatures
from twinvec.nn.losses.objective import Batch, Objective
from twinvec.nn.sampling.blocks import Block, Sampler
from twinvec.nn.training.averaging import RunningAverage
from twinvec.nn.training.best import BestWeights
from twinvec.nn.training.finite import check_loss
from twinvec.nn.training.memory import freed_memory_kept
from twinvec.nn.training.transfer import to_device


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch.

    Attributes:
        number: Number of the epoch, from 1.
        loss: Mean loss of its steps.
        validation: Figure that `validate` returned, or None.
        seconds: Seconds of training, without the validation.
        edges_per_second: Sampled edges aggregated in a second.
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
        """Return the figures by name, without those that are None."""
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
    """Train `model` in place; with `validate`, stop early and keep the weights of the best epoch.

    Sampling runs one batch ahead of the step, in its own thread. If several processes train together, all call this
    with the same arguments; each takes its share of every epoch's batches.

    Args:
        model: The encoder, on the device to train on.
        features: Features of the nodes, on the same device.
        sampler: Sampler of neighbourhoods; its blocks are moved to the device.
        objective: Objective, which makes the batches.
        epochs: Largest number of epochs; the learning rate falls linearly to zero after the last.
        learning_rate: Learning rate of AdamW in the first epoch.
        weight_decay: Weight decay of AdamW.
        seed: Seed of the order of batches and of negatives.
        validate: Return a figure of the model, higher is better; called after every epoch.
        patience: Epochs without a better figure before stopping; None never stops early.
        last: Epoch to stop after, with the learning rates of all `epochs`; `epochs` if not given.
        mixed_precision: Whether to run the model in bfloat16 where that is safe.
        averaging: Share of the running average of the weights that a step keeps, less in the first steps. The average
            is validated and stays in the model. 0 uses the weights themselves.
        report: Called after each epoch.

    Returns:
        The figures of each epoch.

    Raises:
        SettingsError: If an epoch has no batch, or fewer batches than there are processes.
        TrainingError: If the loss of an epoch is not finite, or exactly 0.

    Example:
        >>> from twinvec.nn.features import Features
        >>> from twinvec.nn.losses.margin import MarginObjective
        >>> from twinvec.nn.models import GraphSAGE
        >>> from twinvec.nn.sampling.blocks import double_cover
        >>> from twinvec.nn.sampling.csr import CsrSampler
        >>> source, target = torch.arange(6), (torch.arange(6) + 1) % 6
        >>> graph = {"copurchase": double_cover(source, target, products=6)}
        >>> features = Features(torch.eye(6), torch.zeros(12, 0))
        >>> objective = MarginObjective(
        ...     source, target, products=6, target_offset=6, negatives=2, pool=4, margin=1.0, batch=3
        ... )
        >>> sampler = CsrSampler(graph, {"copurchase": -1}, hops=1)
        >>> model = GraphSAGE(content=6, dimension=4, layers=1, relations=list(graph))
        >>> history = train(model, features, sampler, objective, 2, 0.01, 0.0, seed=0)
        >>> [epoch.number for epoch in history]
        [1, 2]
    """
    device = features.device
    generator = np.random.default_rng(seed)
    objective = to_device(objective, device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=device.type == "cuda"
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: 1 - epoch / epochs)
    runner = processes.parallel(model)
    averaged = RunningAverage(model, averaging) if averaging else None
    evaluated = model if averaged is None else averaged.model
    history: list[Epoch] = []
    best = BestWeights(evaluated, patience)
    for number in range(1, (last or epochs) + 1):
        model.train()
        losses, edges, started = [], 0, time.perf_counter()
        for batch, block in _prefetch(objective, sampler, generator, device):
            with torch.autocast(device.type, torch.bfloat16) if mixed_precision else nullcontext():
                vectors = runner(*features.of(block.nodes), block)
            loss = batch.loss(vectors.float())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if averaged is not None:
                averaged.update(model)
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
        check_loss(loss_sum / steps, f"epoch {number}")
        seconds = time.perf_counter() - started
        figure = validate(evaluated) if validate else None
        history.append(Epoch(number, loss_sum / steps, figure, seconds, edges / seconds))
        report(history[-1])
        if figure is not None and best.is_over(figure):
            break
    if validate:
        best.restore()
    model.load_state_dict(evaluated.state_dict())
    return history


def _prefetch(
    objective: Objective, sampler: Sampler, generator: np.random.Generator, device: torch.device
) -> Iterator[tuple[Batch, Block]]:
    """Yield batches and their blocks, on the device; the next is made while the caller uses the last.

    On a GPU it is made on a stream of its own. There it may wait for numbers that it needs from the device, such as the
    size of a block, without waiting for the step.
    """
    batches = processes.share(objective.batches(generator))
    on_gpu = device.type == "cuda"
    own = torch.cuda.Stream(device, priority=-1) if on_gpu else None  # type: ignore[no-untyped-call]
    callers = torch.cuda.current_stream(device) if on_gpu else None

    def next_batch() -> tuple[Batch, Block, torch.cuda.Event | None] | None:
        with torch.cuda.stream(own):
            batch = next(batches, None)
            if batch is None:
                return None
            block = sampler.sample(batch.seeds).to(device)
            return to_device(batch, device), block, own.record_event() if own else None

    def wait_for_caller() -> None:
        if own is not None and callers is not None:
            own.wait_event(callers.record_event())

    with ThreadPoolExecutor(1) as executor:
        wait_for_caller()  # It may still write what is sampled from.
        ahead = executor.submit(next_batch)
        while (ready := ahead.result()) is not None:
            batch, block, made = ready
            if callers is not None and made is not None:
                callers.wait_event(made)
            ahead = executor.submit(next_batch)
            yield batch, block
            wait_for_caller()  # It may still read this batch, whose memory is used again.
