"""Self-distillation of a small encoder: it goes on after a kill, and does the same in two processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from pipelines.image import training
from pipelines.image.encoder import UNTRAINED, encode_images, load_encoder
from tests import forked
from twinvec.nn import processes
from twinvec.settings.pipelines import ImageTraining
from twinvec.tracking import SilentRun

OPTIONS = {
    "epochs": 3,
    "batch": 4,
    "outputs": 64,
    "learning_rate": 1e-3,
    "log_steps": 1,
    "checkpoint_steps": 4,
}


class Heard(SilentRun):
    """Keeps each step's loss."""

    def __init__(self) -> None:
        super().__init__("", "")
        self.__dict__["losses"] = []

    def log_step(self, step: int, metrics: Any) -> None:
        self.__dict__["losses"].extend(value for name, value in metrics.items() if name == "training/loss")


def distil(folder: Path, **options: Any) -> dict[str, Any]:
    """Train on 20 pairs of noise; the losses, the vectors afterwards, and the figures."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, 3, 32, 32), np.uint8)
    pairs = random.permutation(40).reshape(-1, 2)
    run = Heard()
    encoder, figures = training.distil(
        load_encoder(UNTRAINED, 32, 48, seed=1),
        pixels,
        pairs,
        ImageTraining.model_validate(OPTIONS | options),
        folder / "checkpoints",
        7,
        torch.device("cpu"),
        run,
        lambda message: None,
    )
    vectors = encode_images(encoder, pixels, 40)
    return {"losses": run.__dict__["losses"], "vectors": vectors, "figures": figures}


def distil_until(step: int, folder: Path) -> None:
    """The same, killed at a step."""

    class Killed(training.TeacherUpdate):
        def on_step_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
        ) -> None:
            if state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)

    training.TeacherUpdate = Killed  # type: ignore[misc]
    distil(folder)


def distil_together(folder: Path) -> None:
    """The same as one of several processes; the first writes what it gives to `out.json`."""
    with processes.process_group():
        found = distil(folder)
    if processes.is_first():
        found["vectors"] = found["vectors"].tolist()
        (folder / "out.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Training from first to last, 15 steps of 4 pairs."""
    return distil(tmp_path_factory.mktemp("whole"))


def test_training_that_was_killed_goes_on_and_ends_where_it_would_have(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    assert forked.run(distil_until, 10, tmp_path).status == -signal.SIGKILL
    assert (tmp_path / "checkpoints" / "checkpoint-8").is_dir()
    resumed = distil(tmp_path)
    assert len(whole["losses"]) == 15
    np.testing.assert_allclose(resumed["losses"], whole["losses"][8:], atol=1e-5)
    np.testing.assert_allclose(resumed["vectors"], whole["vectors"], atol=1e-5)


def test_two_processes_are_one_with_a_larger_batch(tmp_path: Path) -> None:
    large = distil(tmp_path / "large", batch=8)
    assert forked.run_together(2, distil_together, tmp_path) == [0, 0]
    shared = json.loads((tmp_path / "out.json").read_text())
    assert len(large["losses"]) == 7
    np.testing.assert_allclose(shared["losses"], large["losses"], rtol=1e-4)
    np.testing.assert_allclose(shared["vectors"], large["vectors"], atol=1e-3)


def test_two_batches_a_step_see_what_one_larger_batch_sees(tmp_path: Path, whole: dict[str, Any]) -> None:
    accumulated = distil(tmp_path, accumulate=2)
    assert len(accumulated["losses"]) == 7
    # Distributions are centred batch by batch, so it is near a larger batch and no more; the first step begins
    # with the weights that training without accumulation begins with.
    np.testing.assert_allclose(accumulated["losses"][0], whole["losses"][0], rtol=0.2)


def test_mixed_precision_stays_near(tmp_path: Path, whole: dict[str, Any]) -> None:
    mixed = distil(tmp_path, precision="bfloat16")
    np.testing.assert_allclose(mixed["losses"], whole["losses"], rtol=0.05)
    assert mixed["losses"] != whole["losses"]


def test_figures_tell_throughput_memory_and_spread(whole: dict[str, Any]) -> None:
    figures = whole["figures"]
    assert figures["training_images_per_second"] > 0
    assert figures["peak_memory_bytes"] > 1e7
    assert figures["teacher_deviation"] > 0.05
    assert 0 < figures["teacher_entropy"] < figures["teacher_mean_entropy"] <= 1
