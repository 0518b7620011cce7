"""Losses and training objectives over sampled pairs.

`twinvec.nn.losses.distillation` is not imported here: it needs the libraries of images, which take seconds to import.
"""

from __future__ import annotations

from twinvec.nn.losses.contrastive import PairObjective, contrastive_loss, triplet_loss
from twinvec.nn.losses.coviews import CoviewObjective, coview_loss
from twinvec.nn.losses.directed import DirectedObjective, directed_loss, is_one_way
from twinvec.nn.losses.margin import MarginObjective, margin_loss
from twinvec.nn.losses.objective import Batch, Objective
from twinvec.nn.losses.positives import Positives, blend, rows_to_one
from twinvec.nn.losses.ranking import ranking_loss
from twinvec.nn.losses.softmax import SoftmaxObjective, sampled_softmax_loss

__all__ = [
    "Batch",
    "CoviewObjective",
    "DirectedObjective",
    "MarginObjective",
    "Objective",
    "PairObjective",
    "Positives",
    "SoftmaxObjective",
    "blend",
    "contrastive_loss",
    "coview_loss",
    "directed_loss",
    "is_one_way",
    "margin_loss",
    "ranking_loss",
    "rows_to_one",
    "sampled_softmax_loss",
    "triplet_loss",
]
