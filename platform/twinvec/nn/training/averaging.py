"""Running average of a model's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

ModelT = TypeVar("ModelT", bound=nn.Module)


class RunningAverage(Generic[ModelT]):
    """Exponential average of the weights after each step.

    A step keeps `share` of the average, less in the first steps: a constant share would keep the untrained weights in
    the average of a short training. torch's `AveragedModel` counts its steps on the device and asks for the number
    again for each weight, so that every step waits for a GPU.

    Args:
        model: The model before its training.
        share: Share of the average that a step keeps, from 0 to 1.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> average = RunningAverage(model, share=0.9)
        >>> average.update(model)
        >>> torch.equal(average.model.weight, model.weight)
        True
    """

    def __init__(self, model: ModelT, share: float) -> None:
        self.model = copy.deepcopy(model)
        self.share = share
        self.steps = 0

    @torch.no_grad()
    def update(self, model: ModelT) -> None:
        """Move the average towards the weights of `model`, after a step; the first step gives its weights."""
        kept = min(self.share, (1 + self.steps) / (10 + self.steps)) if self.steps else 0.0
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - kept)
        for average, current in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(current)
        self.steps += 1
