"""Training where little or nothing is held out, and where it collapses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.similar.encoding import Content
from pipelines.similar.evaluation import figures, thresholds
from pipelines.similar.fitting import Epoch, embed, fit, judge
from twinvec.errors import TrainingError
from twinvec.nn.losses.hierarchies import HiMulConLoss
from twinvec.nn.models.product_sim import ProductSIM
from twinvec.settings.similar import HierarchySettings, SimilarSettings

OPTIONS = SimilarSettings(hidden=16, dimension=8, batch=16, epochs=3)
CPU = torch.device("cpu")


def content(listings: int) -> Content:
    there = torch.ones(listings, dtype=torch.bool)
    torch.manual_seed(1)
    return Content(torch.randn(listings, 6), there, torch.zeros(listings, 1), ~there)


def groups(listings: int) -> npt.NDArray[np.int64]:
    """Two listings of each product, two products of each family, one category."""
    product = np.arange(listings) // 2
    return np.stack([product, product // 2, np.zeros(listings, np.int64)], axis=1)


@pytest.mark.parametrize("validation", [[], [40], [40, 44]])
def test_without_pairs_to_validate_by_the_epoch_of_the_least_loss_is_kept(validation: list[int]) -> None:
    epochs: list[Epoch] = []
    given, labels, training = content(48), groups(48), np.arange(40)
    held_out = np.array(validation, np.int64)
    model = fit(given, labels, training, held_out, OPTIONS, None, CPU, 0, epochs.append)
    torch.manual_seed(0)
    untrained = ProductSIM(6, 1, OPTIONS.hidden, OPTIONS.dimension, OPTIONS.dropout, OPTIONS.left_out)
    assert all(np.isnan(epoch.ndcg) for epoch in epochs)
    trained, before = (each.state_dict()["layers.0.weight"] for each in (model, untrained))
    assert not torch.equal(trained, before)
    graded = judge(model, given, labels, held_out, OPTIONS.k)
    assert figures(graded, OPTIONS.k) == {"queries": 0}
    assert thresholds(graded) == {}


def test_the_loss_is_the_one_that_the_settings_name() -> None:
    given, labels, rows = content(48), groups(48), np.arange(40)
    by_name = {
        name: fit(given, labels, rows, rows, OPTIONS.model_copy(update={"loss": loss}), None, CPU, 0)
        for name, loss in {
            "hrms": HierarchySettings(),
            "himulcon": HierarchySettings(name="himulcon"),
        }.items()
    }
    contrastive = fit(given, labels, rows, rows, OPTIONS, HiMulConLoss(levels=3), CPU, 0)
    vectors = {name: embed(model, given) for name, model in by_name.items()}
    assert torch.equal(vectors["himulcon"], embed(contrastive, given))
    assert not torch.equal(vectors["himulcon"], vectors["hrms"])


def test_vectors_are_the_same_in_a_file() -> None:
    given, rows = content(20), np.array([3, 11, 4])
    model = ProductSIM(6, 1, OPTIONS.hidden, OPTIONS.dimension, OPTIONS.dropout, OPTIONS.left_out)
    into = np.zeros((20, OPTIONS.dimension), np.float32)
    embed(model, given, into=into)
    np.testing.assert_allclose(embed(model, given, rows).numpy(), into[rows], atol=1e-6)


def test_weights_that_are_not_finite_end_the_training() -> None:
    given = content(40)
    given.text[3] = torch.nan
    with pytest.raises(TrainingError, match="exactly 0 at epoch"):
        fit(given, groups(40), np.arange(40), np.arange(0), OPTIONS, None, CPU, 0)
