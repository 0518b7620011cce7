"""Losses and training objectives over sampled pairs: margin, softmax, and DAEMON's directed loss."""

from __future__ import annotations

from twinvec.nn.losses.directed import DirectedObjective, directed_loss, is_one_way
from twinvec.nn.losses.margin import MarginObjective, margin_loss
from twinvec.nn.losses.objective import Batch, Objective
from twinvec.nn.losses.positives import Positives, blend, rows_to_one
from twinvec.nn.losses.softmax import SoftmaxObjective, sampled_softmax_loss

__all__ = [
    "Batch",
    "DirectedObjective",
    "MarginObjective",
    "Objective",
    "Positives",
    "SoftmaxObjective",
    "blend",
    "directed_loss",
    "is_one_way",
    "margin_loss",
    "rows_to_one",
    "sampled_softmax_loss",
]
