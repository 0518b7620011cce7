"""Early stopping: the weights of the best epoch, and the end of a training that no longer gets better."""

from __future__ import annotations

import copy
import math

from torch import nn


class BestWeights:
    """Weights of a model's best epoch so far.

    Args:
        model: Model in training. Its weights count as the best until an epoch is better.
        patience: Epochs in a row without a better figure that end the training; None never does.
        figure: Figure of the model as it is, higher is better; by default any epoch is better.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> best = BestWeights(model, patience=2)
        >>> [best.is_over(figure) for figure in (0.1, 0.3, 0.2, 0.3)]
        [False, False, False, True]
        >>> best.restore()
    """

    def __init__(self, model: nn.Module, patience: int | None, figure: float = -math.inf) -> None:
        self.model = model
        self.patience = patience
        self.figure = figure
        self.since = 0
        self._weights = copy.deepcopy(model.state_dict())

    def is_over(self, figure: float) -> bool:
        """Take in an epoch, whose weights are kept if its figure is the best; return whether patience is at its end."""
        self.since += 1
        if figure > self.figure:
            self.figure, self.since = figure, 0
            self._weights = copy.deepcopy(self.model.state_dict())
        return self.patience is not None and self.since >= self.patience

    def restore(self) -> None:
        """Give the model the best weights."""
        self.model.load_state_dict(self._weights)
