"""The training loop on a graph with planted structure: it learns, stops, repeats itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from pipelines.graph.product_graph import Edges, ProductGraph
from pipelines.related.data import edge_positives, relations
from tests.samplers import SAMPLERS
from twinvec.errors import TrainingError
from twinvec.metrics.ranking import rank_targets, ranking_metrics
from twinvec.nn.features import Features
from twinvec.nn.graph_encoder import GraphEncoder
from twinvec.nn.losses.margin import MarginObjective
from twinvec.nn.losses.objective import Objective
from twinvec.nn.losses.soft_targets import SoftTargetObjective
from twinvec.nn.models import MERLIN, Twinvec
from twinvec.nn.sampling.samplers import SamplerName, make_sampler
from twinvec.nn.training.inference import infer_dual
from twinvec.nn.training.loop import Epoch, train

GROUPS, SIZE = 12, 15
PRODUCTS = GROUPS * SIZE
DIMENSION = 16


@dataclass(frozen=True)
class Planted:
    """Products of a group are bought before those of the next group, and viewed with their own."""

    graph: ProductGraph
    held_out: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    content: torch.Tensor

    def mrr(self, source: torch.Tensor, target: torch.Tensor) -> float:
        known = self.graph.copurchase.matrix(PRODUCTS)
        return ranking_metrics(rank_targets(source, target, self.held_out, known)).mrr_at_10


@pytest.fixture(scope="module")
def planted() -> Planted:
    random = np.random.default_rng(1)
    group = np.repeat(np.arange(GROUPS), SIZE)

    def pairs(count: int, onwards: int) -> npt.NDArray[np.int64]:
        source = random.integers(0, PRODUCTS, count)
        target = (group[source] + onwards) % GROUPS * SIZE + random.integers(0, SIZE, count)
        drawn = np.unique(np.stack([source, target], 1), axis=0)
        return random.permutation(drawn[drawn[:, 0] != drawn[:, 1]])

    def edges(chosen: npt.NDArray[np.int64]) -> Edges:
        return Edges(chosen[:, 0].copy(), chosen[:, 1].copy(), np.ones(len(chosen), np.int64))

    copurchase, coview = pairs(900, onwards=1), pairs(400, onwards=0)
    ids = pa.array([f"p{i:03}" for i in range(PRODUCTS)])
    graph = ProductGraph(
        ids,
        edges(copurchase[100:]),
        edges(coview),
        np.zeros(len(copurchase) - 100, np.int8),
        np.zeros(len(coview), np.int8),
    )
    # Content that tells the group, faintly.
    centres = torch.randn(GROUPS, 10, generator=torch.Generator().manual_seed(2))
    noise = torch.randn(PRODUCTS, 10, generator=torch.Generator().manual_seed(3))
    return Planted(graph, (copurchase[:100, 0], copurchase[:100, 1]), centres[group] + 0.5 * noise)


def paper(planted: Planted, seed: int = 0) -> tuple[GraphEncoder, Features, Objective]:
    torch.manual_seed(seed)
    edges = planted.graph.copurchase
    return (
        MERLIN(10, DIMENSION, 2, ["copurchase", "coview"]),
        Features(planted.content, torch.zeros(2 * PRODUCTS, 0)),
        MarginObjective(
            torch.from_numpy(edges.source),
            torch.from_numpy(edges.target),
            PRODUCTS,
            target_offset=PRODUCTS,
            negatives=5,
            pool=100,
            margin=1.0,
            batch=128,
        ),
    )


def twinvec(planted: Planted, seed: int = 0) -> tuple[GraphEncoder, Features, Objective]:
    torch.manual_seed(seed)
    return (
        Twinvec(10, 4, 16, DIMENSION, list(relations(planted.graph, reverse=True)), factor_dropout=0.1),
        Features(planted.content, 0.1 * torch.randn(2 * PRODUCTS, 4)),
        SoftTargetObjective(edge_positives(planted.graph), candidates=100, batch=50),
    )


RECIPES: dict[str, Callable[[Planted], tuple[GraphEncoder, Features, Objective]]] = {
    "paper": paper,
    "twinvec": twinvec,
}


def run(
    planted: Planted,
    recipe: str,
    sampler: SamplerName = "csr",
    epochs: int = 5,
    seed: int = 3,
    **options: object,
) -> tuple[GraphEncoder, Features, list[Epoch]]:
    model, features, objective = RECIPES[recipe](planted)
    cover = relations(planted.graph, reverse=recipe == "twinvec")
    fanouts = {name: 6 if name.endswith("copurchase") else 3 for name in cover}
    history = train(
        model,
        features,
        make_sampler(sampler, cover, fanouts, len(model.layers), seed),
        objective,
        epochs,
        learning_rate=0.01,
        weight_decay=0.0,
        seed=seed,
        **options,  # type: ignore[arg-type]
    )
    return model, features, history


def vectors(
    planted: Planted, recipe: str, model: GraphEncoder, features: Features
) -> tuple[torch.Tensor, ...]:
    return infer_dual(model, features, relations(planted.graph, reverse=recipe == "twinvec"))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_planted_structure_is_learned(planted: Planted, recipe: str, sampler: SamplerName) -> None:
    model, features, history = run(planted, recipe, sampler, epochs=15)
    losses = [epoch.loss for epoch in history]
    assert [epoch.number for epoch in history] == list(range(1, 16))
    assert losses[-1] < 0.8 * losses[0]
    source, target = vectors(planted, recipe, model, features)
    # At random, Σ_{k ≤ 10} 1 / k / 180 = .016; within the right group of 15, of which some are known, about .25.
    assert planted.mrr(source, target) > 0.15
    # What is bought after what: the other way round it is no better than chance.
    assert planted.mrr(target, source) < 0.1
    assert all(
        epoch.seconds > 0 and epoch.edges_per_second > 0 and epoch.validation is None for epoch in history
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_seed_repeats_the_training_exactly(planted: Planted, recipe: str, sampler: SamplerName) -> None:
    first, again = (run(planted, recipe, sampler, epochs=3) for _ in range(2))
    other = run(planted, recipe, sampler, epochs=3, seed=4)
    assert [epoch.loss for epoch in first[2]] == [epoch.loss for epoch in again[2]]
    assert [epoch.loss for epoch in first[2]] != [epoch.loss for epoch in other[2]]
    for one, same in zip(first[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(one, same)


def test_the_best_epochs_weights_are_restored(planted: Planted) -> None:
    figures = iter([0.1, 0.5, 0.3, 0.4, 0.9])
    seen: list[torch.Tensor] = []

    def validate(model: GraphEncoder) -> float:
        seen.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone())
        return next(figures)

    reported: list[Epoch] = []
    model, _, history = run(
        planted, "paper", epochs=20, validate=validate, patience=2, report=reported.append
    )
    assert [epoch.validation for epoch in history] == [0.1, 0.5, 0.3, 0.4]
    assert reported == history
    kept = torch.nn.utils.parameters_to_vector(model.parameters())
    assert torch.equal(kept, seen[1])
    assert not torch.equal(kept, seen[3])


def test_without_patience_training_goes_on_and_the_best_is_kept(planted: Planted) -> None:
    figures = iter([0.4, 0.3, 0.2, 0.1])
    seen: list[torch.Tensor] = []

    def validate(model: GraphEncoder) -> float:
        seen.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone())
        return next(figures)

    model, _, history = run(planted, "paper", epochs=4, validate=validate)
    assert len(history) == 4
    assert torch.equal(torch.nn.utils.parameters_to_vector(model.parameters()), seen[0])


def test_stopping_at_an_epoch_is_the_start_of_the_whole_course(planted: Planted) -> None:
    _, _, whole = run(planted, "twinvec", epochs=6)
    _, _, part = run(planted, "twinvec", epochs=6, last=2)
    assert [epoch.loss for epoch in part] == [epoch.loss for epoch in whole[:2]]


def test_validation_does_not_change_the_training(planted: Planted) -> None:
    _, _, without = run(planted, "twinvec", epochs=3)

    def validate(model: GraphEncoder) -> float:
        model.eval()
        return sum(parameter.sum().item() for parameter in model.parameters())

    _, _, validated = run(planted, "twinvec", epochs=3, validate=validate)
    assert [epoch.loss for epoch in without] == [epoch.loss for epoch in validated]


@pytest.mark.parametrize("validated", [False, True])
def test_the_running_average_of_the_weights_is_judged_and_kept(planted: Planted, validated: bool) -> None:
    weights: list[torch.Tensor] = []

    def look(optimiser: torch.optim.Optimizer, *_: object) -> None:
        parameters = [each for group in optimiser.param_groups for each in group["params"]]
        weights.append(torch.nn.utils.parameters_to_vector(parameters).detach().double())

    judged: list[torch.Tensor] = []

    def validate(model: GraphEncoder) -> float:
        judged.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach().double())
        return float(len(judged))

    hook = register_optimizer_step_post_hook(look)
    model, _, _ = run(planted, "twinvec", epochs=4, averaging=0.6, validate=validate if validated else None)
    hook.remove()
    expected = weights[0]
    for number, after in enumerate(weights[1:], start=1):
        share = min(0.6, (1 + number) / (10 + number))
        expected = share * expected + (1 - share) * after
    kept = torch.nn.utils.parameters_to_vector(model.parameters()).double()
    torch.testing.assert_close(kept, expected, atol=1e-5, rtol=1e-5)
    assert (kept - weights[-1]).abs().max() > 1e-3
    assert len(weights) > 10
    assert len(judged) == (4 if validated else 0)
    if validated:
        assert torch.equal(judged[-1], kept)


@pytest.mark.parametrize("recipe", RECIPES)
def test_mixed_precision_is_close(planted: Planted, recipe: str) -> None:
    exact_model, features, exact = run(planted, recipe, epochs=4)
    model, _, mixed = run(planted, recipe, epochs=4, mixed_precision=True)
    assert [epoch.loss for epoch in mixed] != [epoch.loss for epoch in exact]
    assert [epoch.loss for epoch in mixed] == pytest.approx([epoch.loss for epoch in exact], rel=0.03)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    figures = [planted.mrr(*vectors(planted, recipe, trained, features)) for trained in (exact_model, model)]
    assert figures[0] == pytest.approx(figures[1], abs=0.05)


def test_an_error_in_sampling_reaches_the_caller(planted: Planted) -> None:
    model, features, objective = paper(planted)

    class Broken:
        def sample(self, seeds: torch.Tensor) -> None:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        train(model, features, Broken(), objective, 1, 0.01, 0.0, 0)  # type: ignore[arg-type]


def test_random_vectors_do_not_pass(planted: Planted) -> None:
    """The bar that `test_planted_structure_is_learned` sets is out of chance's reach."""
    figures = [planted.mrr(*torch.randn(2, PRODUCTS, DIMENSION).unbind()) for _ in range(5)]
    assert max(figures) < 0.06


@pytest.mark.parametrize(
    ("margin", "message"), [(float("nan"), "nan at epoch 1"), (-1e6, "exactly 0 at epoch 1")]
)
def test_a_loss_that_teaches_nothing_ends_the_training(planted: Planted, margin: float, message: str) -> None:
    model, features, objective = paper(planted)
    assert isinstance(objective, MarginObjective)
    collapsed = replace(objective, margin=margin)
    sampler = make_sampler(
        "csr", relations(planted.graph, reverse=False), {"copurchase": 5, "coview": 5}, 2, seed=0
    )
    with pytest.raises(TrainingError, match=message):
        train(model, features, sampler, collapsed, 3, 0.01, 0.0, seed=0)
