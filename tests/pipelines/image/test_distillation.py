from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from pipelines import road
from pipelines.graph.product_graph import Edges, ProductGraph, Split, load_graph
from pipelines.image.augmentation import DRAWS, augment
from pipelines.image.encoder import UNTRAINED, encode_images, load_encoder
from pipelines.image.pairs import Views, coview_pairs
from pipelines.image.reading import read_images
from pipelines.image.training import build, distil
from twinvec.catalogue.snapshot import Snapshot
from twinvec.settings import load_settings
from twinvec.settings.pipelines import ImageTraining
from twinvec.tracking import SilentRun
from twinvec.workspace import Workspace

OPTIONS = ImageTraining(outputs=32, local_views=2)


def test_the_loss_is_equation_2_both_ways() -> None:
    model = build(load_encoder(UNTRAINED, 32, 48, seed=2), 32, OPTIONS)
    with torch.no_grad():
        for parameter in model.student_head.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    model.loss.center.copy_(torch.randn(32) / 10)
    model.loss.deviation.fill_(0.3)
    pixels = torch.randint(0, 256, (3, 2, 3, 32, 32), dtype=torch.uint8)
    draws = torch.rand(3, 2, 3, DRAWS)
    loss = model(pixels, draws)["loss"]

    def view(pair: int, side: int, number: int) -> Tensor:
        how = model.views[min(number, 1)]
        return augment(pixels[[pair], side].float() / 255, draws[[pair], side, number], how)

    def student(image: Tensor) -> Tensor:
        return torch.log_softmax(model.student_head(model.student.project(image)) / 0.1, dim=1)

    terms = []
    for pair in range(3):
        for i, j in ((0, 1), (1, 0)):
            logits = model.teacher_head(model.teacher.project(view(pair, j, 0)))
            target = torch.softmax((logits - model.loss.center[0]) / (0.25 * 0.3), dim=1)
            views = (view(pair, i, 0), view(pair, j, 1), view(pair, j, 2))
            terms.extend(-(target * student(seen)).sum() for seen in views)
    torch.testing.assert_close(loss, torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


def test_the_teacher_follows_and_learns_nothing_itself() -> None:
    model = build(load_encoder(UNTRAINED, 32, 48, seed=2), 32, OPTIONS)
    pixels = torch.randint(0, 256, (3, 2, 3, 32, 32), dtype=torch.uint8)
    model(pixels, torch.rand(3, 2, 3, DRAWS))["loss"].backward()
    assert all(each.grad is None for each in model.teacher.parameters())
    before = model.teacher.projection.weight.clone()
    with torch.no_grad():
        model.student.projection.weight += 1
    model.follow(1, 10_000)
    torch.testing.assert_close(model.teacher.projection.weight, before + 0.02, atol=1e-4, rtol=0)
    assert model.loss.center.abs().sum() > 0


def test_pairs_are_those_often_viewed_together_of_the_training_split() -> None:
    edges = Edges(np.array([0, 1, 2, 0]), np.array([1, 2, 3, 3]), np.array([5, 1, 4, 9]))
    splits = np.array([Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST], np.int8)
    nothing = Edges(*(np.zeros(0, np.int64) for _ in range(3)))
    graph = ProductGraph(pa.array(list("abcd")), nothing, edges, np.zeros(0, np.int8), splits)
    assert coview_pairs(graph, ["d", "c", "b", "a"], 2).tolist() == [[3, 2], [1, 0]]
    assert len(coview_pairs(graph, list("abcd"), 100)) == 3  # none is as frequent: all of them
    assert coview_pairs(graph, list("abd"), 2).tolist() == [[0, 1]]


def test_views_depend_on_seed_and_place_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8), np.uint8)
    pairs = np.arange(14).reshape(7, 2)
    views, other = (Views(pixels, pairs, 30, 3, seed) for seed in (1, 2))
    whole = views.__getitems__(range(30))
    assert whole["draws"].shape == (30, 2, 3, DRAWS)
    for place in (29, 0, 13):
        assert torch.equal(views[place]["draws"], whole["draws"][place])
        assert torch.equal(views[place]["pixels"], whole["pixels"][place])
    first = {tuple(each.flatten().tolist()) for each in whole["pixels"][:7]}
    assert len(first) == 7  # each pair once in a round
    assert not torch.equal(whole["pixels"][:7], whole["pixels"][7:14])
    assert not torch.equal(whole["draws"], other.__getitems__(range(30))["draws"])


@pytest.mark.slow
def test_neighbours_share_the_style_twice_as_often_as_untrained(
    tmp_path: Path, store: tuple[Path, Snapshot]
) -> None:
    source, snapshot = store
    workspace = Workspace(load_settings(home=snapshot.path.parent.parent, device="cpu"))
    (version,) = (step.version for step in road.run(workspace, snapshot, ["graph"]) if step.space == "graph")
    assert version is not None
    (batch,) = read_images(snapshot, workspace.settings.image, 1_000)
    truth = dict(
        duckdb.execute(
            "SELECT product_id, style FROM read_parquet(?)", [str(source / "truth" / "products.parquet")]
        ).fetchall()
    )
    styles = np.array([truth[name] for name in batch.product_ids])

    def precision(vectors: np.ndarray) -> float:
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -2)
        nearest = np.argpartition(-similarity, 5, axis=1)[:, :5]
        return float((styles[nearest] == styles[:, None]).mean())

    encoder = load_encoder(UNTRAINED, 64, 256, seed=0)
    untrained = precision(encode_images(encoder, batch.pixels, 64))
    pairs = coview_pairs(load_graph(Path(version.path)), batch.product_ids, 2)
    trained, figures = distil(
        encoder,
        batch.pixels,
        pairs,
        ImageTraining(epochs=1),
        tmp_path,
        0,
        torch.device("cpu"),
        SilentRun("", ""),
        lambda message: None,
    )
    assert precision(encode_images(trained, batch.pixels, 64)) > 2 * untrained
    assert figures["teacher_deviation"] > 0.02
    assert figures["teacher_entropy"] < 0.98
    assert figures["teacher_mean_entropy"] > 0.3
