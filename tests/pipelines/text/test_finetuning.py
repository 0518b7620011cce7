"""Fine-tuning of a small real encoder: it learns, goes on after a kill, and does the same in two processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.graph.product_graph import load_graph
from pipelines.text.encoder import load_encoder
from pipelines.text.finetuning import fine_tune
from pipelines.text.freezing import lowest_parts
from registry.models import Version
from tests import forked
from twinvec.catalogue.snapshot import Snapshot
from twinvec.nn import processes
from twinvec.settings import load_settings
from twinvec.stage import Inputs
from twinvec.tracking import Run
from twinvec.workspace import Workspace

CPU = torch.device("cpu")
GROUPS, SIZE = 12, 8


class Heard(Run):
    """Keeps in place of MLflow what is logged."""

    def __init__(self) -> None:
        super().__init__("", "text")
        self.__dict__["steps"] = []

    def log_epoch(self, epoch: int, metrics: Any) -> None:
        self.__dict__["steps"].append((epoch, dict(metrics)))


def trained(
    home: str, graph: str, model: str, scheme: str, training: dict[str, Any], checkpoints: str
) -> tuple[Any, dict[str, float], Any]:
    """Fine-tune, and give what was logged at each step, the metrics and the encoder."""
    options = {
        "batch": 8,
        "epochs": 2,
        "learning_rate": 1e-3,
        "log_steps": 1,
        # The same on all machines.
        "precision": "float32",
        **training,
    }
    text = {"model": model, "scheme": scheme, "training": options}
    workspace = Workspace(load_settings(home=Path(home), device="cpu", text=text))
    inputs = Inputs(workspace, workspace.snapshot(None), {"graph": Version(path=graph)}, Path(checkpoints))
    run, encoder = Heard(), load_encoder(model, 16, CPU)
    lines: list[str] = []
    figures = fine_tune(encoder, inputs, load_graph(Path(graph)), run, lines.append, CPU)
    return run.__dict__["steps"], figures, encoder


@pytest.fixture
def given(
    workspace: Workspace,
    snapshot_of: Callable[..., Snapshot],
    write_graph: Callable[..., Any],
    small_encoder: Path,
    tmp_path: Path,
) -> Callable[..., list[Any]]:
    """`given(scheme, name, **training)`: the arguments of `trained`, over groups of products viewed together.

    What a group has in common is one of two words, which an encoder of random weights cannot tell.
    """
    nouns = [
        "lamp",
        "chair",
        "table",
        "sofa",
        "shelf",
        "desk",
        "mirror",
        "carpet",
        "curtain",
        "pillow",
        "rug",
        "vase",
    ]
    fillers = ["red", "blue", "green", "black", "white", "small", "large", "old"]
    names = {f"g{group:02}n{number}": (group, number) for group in range(GROUPS) for number in range(SIZE)}
    products = {
        name: ({"en": f"{fillers[number]} {nouns[group]} {fillers[(group + 3 * number) % 8]}"}, ["Home"])
        for name, (group, number) in names.items()
    }
    snapshot_of(**products)
    coview = [
        (group * SIZE + a, group * SIZE + b, 1 + (a + b) % 4, int((a * b + group) % 5 == 0))
        for group in range(GROUPS)
        for a in range(SIZE)
        for b in range(a + 1, SIZE)
    ]
    graph = write_graph([*names], ["Home"] * len(names), coview, [])

    def arguments(scheme: str, name: str, **training: Any) -> list[Any]:
        folder = str(tmp_path / name)
        home = str(workspace.settings.home)
        return [home, str(graph.folder), str(small_encoder), scheme, training, folder]

    return arguments


def losses(steps: list[tuple[int, dict[str, float]]]) -> list[float]:
    return [metrics["training/loss"] for _, metrics in steps if "training/loss" in metrics]


@pytest.mark.parametrize("scheme", ["copurchase", "category", "coview-ml"])
def test_training_brings_held_out_coviews_closer(given: Callable[..., list[Any]], scheme: str) -> None:
    steps, figures, encoder = trained(*given(scheme, scheme, epochs=4, validation_products=96))
    assert figures["validation_mrr_at_10"] > 1.5 * figures["untrained_mrr_at_10"] > 0
    validated = [metrics["validation/mrr_at_10"] for _, metrics in steps if "validation/mrr_at_10" in metrics]
    assert len(validated) == 5
    assert figures["validation_mrr_at_10"] == max(validated)
    assert figures["training_titles_per_second"] > 0
    assert figures["peak_memory_bytes"] > 0
    assert not encoder.training


def test_weights_that_training_spoilt_are_not_kept(
    given: Callable[..., list[Any]], small_encoder: Path
) -> None:
    arguments = given("coview", "spoilt", epochs=3)
    good, *_ = trained(*arguments)[::-1]
    good.save(str(small_encoder.parent / "good"), create_model_card=False)
    spoilt = given("coview", "again", learning_rate=30.0, epochs=1)
    spoilt[2] = str(small_encoder.parent / "good")
    _, figures, encoder = trained(*spoilt)
    assert figures["validation_mrr_at_10"] == figures["untrained_mrr_at_10"]
    for name, weights in good.state_dict().items():
        assert torch.equal(weights, encoder.state_dict()[name]), name


@pytest.mark.parametrize("loss", ["margin", "ranking", "cached-ranking"])
def test_in_bfloat16_it_learns_much_the_same(given: Callable[..., list[Any]], loss: str) -> None:
    full, half = (
        losses(trained(*given("coview", precision, loss=loss, precision=precision, epochs=1))[0])
        for precision in ("float32", "bfloat16")
    )
    assert full != half
    assert half == pytest.approx(full, rel=0.05)


def test_frozen_parts_stay_as_they_are_and_the_others_learn(
    given: Callable[..., list[Any]], small_encoder: Path
) -> None:
    before = load_encoder(str(small_encoder), 16, CPU)
    _, figures, encoder = trained(*given("coview", "frozen", frozen=2))
    moved = {
        name
        for name, weights in encoder.state_dict().items()
        if not torch.equal(weights, before.state_dict()[name])
    }
    assert moved
    assert all(".layer.1." in name for name in moved), "the pooled top layer alone is trained"
    assert figures["validation_mrr_at_10"] >= figures["untrained_mrr_at_10"]
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert len(lowest_parts(encoder, 9)) == 2, "the top layer is always trained"


def test_accumulated_batches_are_one_larger_batch(given: Callable[..., list[Any]]) -> None:
    small = trained(*given("coview", "small", loss="margin", batch=4, accumulate=2))[2].state_dict()
    large = trained(*given("coview", "large", loss="margin", batch=8))[2].state_dict()
    for name, weights in large.items():
        torch.testing.assert_close(small[name], weights, rtol=0, atol=1e-4)


def test_nothing_is_trained_without_coviews(
    given: Callable[..., list[Any]], write_graph: Callable[..., Any]
) -> None:
    arguments = given("coview", "none")
    write_graph([f"g{number:02}n0" for number in range(4)], ["Home"] * 4, [], [])
    steps, figures, _ = trained(*arguments)
    assert (steps, figures) == ([], {})


def train_and_save(given: list[list[Any]]) -> None:
    """Call `trained` with each of these arguments, as one of several processes; the first writes what comes of it."""
    with processes.process_group():
        for arguments in given:
            steps, figures, encoder = trained(*arguments)
            if processes.is_first():
                result = Path(arguments[-1] + "-result")
                encoder.save(str(result), create_model_card=False)
                (result / "figures.json").write_text(json.dumps([steps, figures]))


@pytest.mark.slow
def test_after_a_kill_it_goes_on_and_ends_where_it_would_have(given: Callable[..., list[Any]]) -> None:
    whole_steps, whole_figures, whole = trained(*given("coview", "whole", checkpoint_steps=4))
    arguments = given("coview", "killed", checkpoint_steps=4)
    process = forked.start(train_and_save, [arguments])
    first = Path(arguments[-1]) / "checkpoint-4" / "trainer_state.json"
    deadline = time.monotonic() + 180
    while not first.is_file():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not Path(arguments[-1] + "-result").exists()

    steps, figures, encoder = trained(*arguments)
    done = [step for step, metrics in steps if "training/loss" in metrics]
    assert 4 < done[0] < done[-1] == len(losses(whole_steps))
    assert losses(steps) == pytest.approx(losses(whole_steps)[done[0] - 1 :], abs=1e-5)
    assert figures["validation_mrr_at_10"] == whole_figures["validation_mrr_at_10"]
    for name, weights in whole.state_dict().items():
        torch.testing.assert_close(encoder.state_dict()[name], weights, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_with_twice_the_batch(given: Callable[..., list[Any]]) -> None:
    names = ("margin", "ranking", "cached-ranking")
    shared = [given("coview", name, loss=name, batch=8, epochs=1) for name in names]
    assert forked.run_together(2, train_and_save, shared) == [0, 0]
    for name, arguments in zip(names, shared, strict=True):
        result = Path(arguments[-1] + "-result")
        steps, figures = json.loads((result / "figures.json").read_text())
        alone, alone_figures, encoder = trained(
            *given("coview", f"{name}-alone", loss=name, batch=16, epochs=1)
        )
        assert len(losses(steps)) > 10
        assert losses(steps) == pytest.approx(losses(alone), abs=1e-4)
        assert figures["validation_mrr_at_10"] == pytest.approx(
            alone_figures["validation_mrr_at_10"], abs=1e-3
        )
        both = load_encoder(str(result), 16, CPU).state_dict()
        for key, weights in encoder.state_dict().items():
            torch.testing.assert_close(both[key], weights, rtol=0, atol=1e-3)
