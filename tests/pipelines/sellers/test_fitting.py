"""Fitting on the synthetic store: better than chance, the same again, and what the settings leave out is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.comparisons.waml import VARIANTS
from pipelines.graph.product_graph import Split
from pipelines.sellers.fitting import Fitted, fit, vectors_of
from pipelines.sellers.graph import SellerGraph
from pipelines.sellers.pipeline import held_out_metrics, read_graph
from pipelines.sellers.recall import rank_offers
from registry.database import open_engine
from registry.models import Base
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic import generate
from twinvec.nn.models.waml import without_type_mean
from twinvec.settings import SellerSettings, Settings

CPU = torch.device("cpu")
BRIEF = SellerSettings(
    dimension=32, epochs=2, blocks=1, batch=128, recall_at=20, learning_rate=1e-3, tuning=0
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[SellerGraph, Tensor]:
    """The graph of the tiny store, and vectors that tell categories apart."""
    folder = tmp_path_factory.mktemp("fitting")
    generate(folder / "store", "tiny", seed=5, images=False, sellers=True)
    settings = Settings(home=folder / "home", sellers=BRIEF)
    engine = open_engine(f"sqlite:///{folder / 'registry.db'}")
    Base.metadata.create_all(engine)
    report = ingest(folder / "store", "parquet", settings, engine)
    engine.dispose()
    reduced, graph = read_graph(report.snapshot, settings)
    of_category = torch.randn(len(reduced.categories), 40, generator=torch.Generator().manual_seed(0))
    content = torch.zeros(len(reduced.products), 40)
    content[reduced.members[0]] = of_category[reduced.members[1]]
    return graph, content


def fitted(store: tuple[SellerGraph, Tensor], changes: Mapping[str, Any]) -> tuple[Fitted, dict[str, float]]:
    options = BRIEF.model_copy(update={**changes})
    model = fit(*store, options, CPU, seed=1)
    tested = vectors_of(model, store[0], (Split.TRAIN,), options.normalise, CPU)
    return model, held_out_metrics(model, tested, store[0], 20)


def test_held_out_offers_are_found_better_than_by_chance(store: tuple[SellerGraph, Tensor]) -> None:
    model, metrics = fitted(store, {})
    chance = 20 / store[0].candidate.sum()
    assert metrics["recall_at_20"] > 2 * chance
    again, _ = fitted(store, {})
    for one, other in zip(model.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_vectors_of_all_offers_know_of_those_held_out(store: tuple[SellerGraph, Tensor]) -> None:
    model, _ = fitted(store, {})
    graph = store[0]
    sellers, products = graph.offers_of(Split.TEST)
    scores = []
    for splits in ((Split.TRAIN,), tuple(Split)):
        vectors = vectors_of(model, graph, splits, True, CPU)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(graph.nodes))
        scores.append(float((vectors[sellers] * vectors[products]).sum(1).mean()))
    assert scores[1] > scores[0]


@pytest.mark.parametrize("row", [name for name in VARIANTS if name != "waml"])
def test_each_row_of_the_ablation_is_another_model(row: str, store: tuple[SellerGraph, Tensor]) -> None:
    whole, left = (fitted(store, {**changes, "epochs": 1})[0] for changes in ({}, VARIANTS[row]))
    splits = (Split.TRAIN,)
    normalise = row != "- L2 in layers"
    one, other = (
        vectors_of(whole, store[0], splits, True, CPU),
        vectors_of(left, store[0], splits, normalise, CPU),
    )
    assert float((one - other).abs().max()) > 1e-3
    if row == "- feed-forward":
        assert left.history == []
        assert not list(left.model.parameters())


def test_tuning_is_by_the_validation_offers(store: tuple[SellerGraph, Tensor]) -> None:
    graph = store[0]
    start = {"alphas": (0.9, 0.9), "blocks": 0, "content": False}
    tuned, untuned = (fitted(store, {**start, "tuning": rounds})[0] for rounds in (1, 0))
    assert tuned.alphas != untuned.alphas == (0.9, 0.9)
    found = []
    for model in (tuned, untuned):
        vectors = without_type_mean(
            vectors_of(model, graph, (Split.TRAIN,), True, CPU), torch.from_numpy(graph.types)
        )
        found.append(np.mean(rank_offers(vectors, graph, Split.VALIDATION) <= BRIEF.recall_at))
    assert found[0] > found[1]


def test_the_mean_of_a_type_is_taken_away() -> None:
    types = torch.tensor([0, 2, 2, 0, 2])
    vectors = torch.randn(5, 4)
    left = without_type_mean(vectors, types)
    for kind in (0, 2):
        rows = vectors[types == kind]
        wanted = torch.nn.functional.normalize(rows - rows.mean(0))
        torch.testing.assert_close(left[types == kind], wanted)
