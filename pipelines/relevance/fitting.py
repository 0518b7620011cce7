"""Training of SALAM in two phases: on all regions together, then on each region from there (SALAM 3.2, 4.1)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipelines.relevance.judged import Judged, Split
from pipelines.relevance.problem import Problem, batches_by_length, predict
from twinvec.metrics.classification import classification_metrics
from twinvec.nn.models.salam import Salam
from twinvec.nn.training.best import BestWeights
from twinvec.nn.training.finite import check_loss
from twinvec.settings import RelevanceSettings

Ints = npt.NDArray[np.int64]
ALL = "all regions"


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch.

    Attributes:
        phase: `all regions`, or the region.
        number: Number of the epoch, from 1; 0 is the state before the first.
        loss: Mean weighted loss; NaN for epoch 0.
        validation: Macro-F1 of the validation queries; NaN if there are none.
        seconds: Seconds of training.
    """

    phase: str
    number: int
    loss: float
    validation: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.phase}, epoch {self.number}: loss {self.loss:.4f}, validation macro-F1 {self.validation:.4f}"


@dataclass(frozen=True)
class Fitter:
    """All that the training of any phase needs.

    Attributes:
        problem: Pairs as the model reads them.
        judged: The same pairs with classes and split.
        options: Settings.
        device: Device to train on.
        seed: Seed of the order of the pairs.
        report: Called after each epoch.
    """

    problem: Problem
    judged: Judged
    options: RelevanceSettings
    device: torch.device
    seed: int
    report: Callable[[Epoch], None] = lambda epoch: None

    def fit(self, model: Salam, epochs: int, region: str | None = None) -> list[Epoch]:
        """Train a model in place, and leave it with the weights of its best epoch, which may be none.

        Args:
            model: Model, on the device.
            epochs: Largest number of epochs.
            region: Region whose pairs are learned; all if not given.

        Returns:
            The epochs, with the state before the first as epoch 0.

        Raises:
            TrainingError: If the loss of an epoch is not finite, or exactly 0.
        """
        options, judged = self.options, self.judged
        rows, held_out = judged.rows(Split.TRAIN, region), judged.rows(Split.VALIDATION, region)
        history = [Epoch(region or ALL, 0, float("nan"), self._validate(model, held_out), 0.0)]
        if not len(rows):
            return history
        criterion = nn.CrossEntropyLoss(
            class_weights(judged.classes[rows], len(judged.names)).to(self.device)
        )
        optimiser = build_optimiser(model, options)
        random = np.random.default_rng([self.seed, *(region or ALL).encode()])
        best = BestWeights(model, options.patience, _figure(history[0]))
        classes = torch.from_numpy(judged.classes)
        lengths = self.problem.tokens.lengths()[rows]
        for number in range(1, epochs + 1):
            model.train()
            started, losses = time.perf_counter(), []
            for part in batches_by_length(lengths, options.batch, random):
                chosen = rows[part]
                loss = criterion(
                    self.problem.logits(model, chosen, self.device), classes[chosen].to(self.device)
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.detach())
            seconds = time.perf_counter() - started
            mean = float(torch.stack(losses).mean())
            check_loss(mean, f"epoch {number} of {region or ALL}")
            history.append(Epoch(region or ALL, number, mean, self._validate(model, held_out), seconds))
            self.report(history[-1])
            if best.is_over(_figure(history[-1])):
                break
        best.restore()
        return history

    def phases(self, model: Salam) -> Iterator[tuple[str, Salam, list[Epoch]]]:
        """Train on all regions, then a model for each region from that state; yield name, model and epochs of each.

        The first is `all regions`. A model is changed when the next one is asked for.
        """
        yield ALL, model, self.fit(model, self.options.pretrain_epochs)
        together = copy.deepcopy(model.state_dict())
        for region in self.judged.regions():
            model.load_state_dict(together)
            yield region, model, self.fit(model, self.options.epochs, region)

    def _validate(self, model: Salam, rows: Ints) -> float:
        if not len(rows):
            return float("nan")
        found = predict(model, self.problem, rows, self.options.predict_batch, self.device).argmax(1)
        return classification_metrics(self.judged.classes[rows], found, self.judged.names)["macro_f1"]


def _figure(epoch: Epoch) -> float:
    """Return the figure that epochs are judged by: without validation its number, so that the last is the best."""
    return epoch.number if np.isnan(epoch.validation) else epoch.validation


def class_weights(classes: Ints, count: int) -> torch.Tensor:
    """Return the weight of each class, n / (K n_k), float32 [K]: of all classes together, each has the same share.

    A class without pairs has weight 0 (King and Zeng, 2001, whom SALAM's appendix B cites).
    """
    pairs = np.bincount(classes, minlength=count)
    weights = np.where(pairs > 0, len(classes) / (count * np.maximum(pairs, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def build_optimiser(model: Salam, options: RelevanceSettings) -> torch.optim.Optimizer:
    """Return AdamW (3.3); the text encoder learns slowly, and what begins from chance fast."""
    if not options.train_embeddings:
        for module in model.encoder.modules():
            if isinstance(module, nn.Embedding):
                module.requires_grad_(False)
    encoder = [each for each in model.encoder.parameters() if each.requires_grad]
    ours = {id(each) for each in model.encoder.parameters()}
    others = [each for each in model.parameters() if id(each) not in ours]
    groups = [
        {"params": encoder, "lr": options.learning_rate},
        {"params": others, "lr": options.head_learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=options.weight_decay)
