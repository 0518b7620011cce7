"""Training of the fusion encoder, and of other encoders with it, by any loss of pytorch-metric-learning's form."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipelines.similar.batches import Ints, grouped, with_positives
from pipelines.similar.encoding import Content
from pipelines.similar.tuning import TunedContent
from twinvec.metrics.graded import Graded, Groups, rank_graded
from twinvec.nn.losses.hrms import HRMSLoss, Level
from twinvec.nn.models.product_sim import ProductSIM
from twinvec.nn.training.best import BestWeights
from twinvec.nn.training.finite import check_loss
from twinvec.settings.similar import HierarchySettings, SimilarSettings

Loss = Callable[[Tensor, Tensor], Tensor]
ENCODED = 8192
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Epoch:
    """Figures of an epoch.

    Attributes:
        number: Number of the epoch, from 1.
        loss: Mean loss.
        ndcg: Mean validation nDCG@k; NaN if no validation listing has anything to find.
        rate: Listings a second.
    """

    number: int
    loss: float
    ndcg: float
    rate: float


def make_loss(options: HierarchySettings) -> nn.Module:
    """Return the loss that the settings name."""
    if options.name == "himulcon":
        from twinvec.nn.losses.hierarchies import HiMulConLoss  # its library takes seconds to import

        return HiMulConLoss(len(options.levels))
    return make_hrms(options)


def make_hrms(options: HierarchySettings) -> HRMSLoss:
    """Return HRMS with the parameters of the settings."""
    weights = options.weights or (1.0,) * len(options.levels)
    values = zip(options.alpha, options.beta, options.epsilon, weights, strict=True)
    levels = [Level(*each) for each in values]
    return HRMSLoss(levels, options.offset, options.deconflict)


def fit(
    content: Content,
    labels: Groups,
    training: Ints,
    validation: Ints,
    options: SimilarSettings,
    loss: nn.Module | None,
    device: torch.device,
    seed: int,
    report: Callable[[Epoch], None] = lambda _epoch: None,
    fusion: ProductSIM | None = None,
) -> ProductSIM:
    """Fit on the training listings; the epoch with the best nDCG@k of the validation listings is kept.

    Where no validation listing has anything to find, that with the least loss is. With `TunedContent`, its encoders
    are trained along, and keep the weights of the same epoch.

    Args:
        content: Content of all listings.
        labels: Groups that the loss reads, finest level first, int32 [n, levels]; product and family come first.
        training, validation: Rows.
        options: Settings.
        loss: Takes vectors [b, d] and groups [b, levels]; its own parameters, if any, are trained, too. That of the
            settings if None.
        device: Device to compute on.
        seed: Seed of weights, dropout and batches.
        report: Called after each epoch.
        fusion: Fusion that is trained further, in place; the state before counts as an epoch. A new one if None.

    Raises:
        TrainingError: If the loss of an epoch or the weights after it are not finite.
    """
    torch.manual_seed(seed)
    widths = content.text.shape[1], content.image.shape[1]
    model = (
        ProductSIM(*widths, options.hidden, options.dimension, options.dropout, options.left_out)
        if fusion is None
        else fusion
    ).to(device)
    loss = (make_loss(options.loss) if loss is None else loss).to(device)
    groups = [{"params": [*model.parameters(), *loss.parameters()], "lr": options.learning_rate}]
    trained, epochs = nn.ModuleList([model]), options.epochs
    if isinstance(content, TunedContent):
        for part in content.parts:
            groups.append({"params": [*part.encoder.parameters()], "lr": part.learning_rate})
            trained.append(part.encoder)
        epochs = options.tuning.epochs
    optimiser = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
    generator = np.random.default_rng(seed)
    rows = training[with_positives(labels[training])]
    before = float("nan") if fusion is None else _validate(model, content, labels, validation, options.k)
    best = BestWeights(trained, options.patience, before if np.isfinite(before) else -np.inf)
    for number in range(1, epochs + 1):
        started = time.perf_counter()
        trained.train()
        losses = []
        for batch in grouped(labels, rows, options.batch, generator):
            places = torch.from_numpy(batch)
            value = loss(
                model(*content.of(places, device)), torch.from_numpy(labels[batch]).to(device, torch.int64)
            )
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            losses.append(value.detach())
        mean = float(torch.stack(losses).mean()) if losses else 0.0
        # Groups that are apart by more than the margins leave no pair, and the loss is 0; so do vectors of NaN.
        if mean or not all(bool(each.isfinite().all()) for each in trained.parameters()):
            check_loss(mean, f"epoch {number}")
        trained.eval()
        ndcg = _validate(model, content, labels, validation, options.k)
        report(Epoch(number, mean, ndcg, len(rows) / (time.perf_counter() - started)))
        if best.is_over(ndcg if np.isfinite(ndcg) else -mean):
            break
    best.restore()
    return model.eval()


@torch.inference_mode()
def embed(model: nn.Module, content: Content, rows: Ints | None = None, into: Floats | None = None) -> Tensor:
    """Return the vectors of some listings, float32 [n, d] on the CPU; of all if rows are not given.

    They are written to `into`, if it is given, such as a matrix in a file.
    """
    if isinstance(model, ProductSIM):  # an exported model has no `eval`
        model.eval()
    device = next(iter(model.parameters())).device
    places = torch.arange(len(content)) if rows is None else torch.from_numpy(rows)
    # Exported models take no batch of one, which `tensor_split` may leave.
    parts = places.tensor_split(1 + len(places) // ENCODED)
    vectors = None if into is None else torch.from_numpy(into)
    done = 0
    for part in parts:
        made = model(*content.of(part, device))
        if vectors is None:
            vectors = torch.empty(len(places), made.shape[1])
        vectors[done : done + len(part)] = made.cpu()
        done += len(part)
    assert vectors is not None
    return vectors


def _validate(model: nn.Module, content: Content, labels: Groups, rows: Ints, k: int) -> float:
    """Return the mean nDCG@k of some listings; NaN if none has anything to find."""
    values = judge(model, content, labels, rows, k).ndcg
    there = np.isfinite(values)
    return float(values[there].mean()) if there.any() else float("nan")


def judge(model: nn.Module, content: Content, labels: Groups, rows: Ints, k: int) -> Graded:
    """Rank some listings among themselves, as the paper does with its test set (5)."""
    vectors = embed(model, content, rows)
    return rank_graded(vectors, labels[rows, 0], labels[rows, min(1, labels.shape[1] - 1)], k)
