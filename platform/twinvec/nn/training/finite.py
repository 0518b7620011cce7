"""Check of a loss: a training that has collapsed must not look like one that went well."""

from __future__ import annotations

import math

from twinvec.errors import TrainingError


def check_loss(loss: float, place: str) -> None:
    """Refuse a mean loss that is not finite, or exactly 0.

    Args:
        loss: Mean loss of some steps.
        place: Part of the training, such as `step 10`, for the message.

    Raises:
        TrainingError: If nothing is learnt from such a loss.

    Example:
        >>> check_loss(0.25, "epoch 1")
    """
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss is {loss} at {place}: the training has diverged",
            "lower the learning rate, or set the precision to float32",
        )
    if loss == 0:
        raise TrainingError(
            f"the loss is exactly 0 at {place}: no step changes a weight",
            "raise the margin of the loss or its number of negatives, or see that the weights of the model are finite",
        )
