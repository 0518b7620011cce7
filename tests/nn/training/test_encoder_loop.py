"""The training loop of text and image encoders, with a small model that is neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments

from twinvec.errors import TrainingError
from twinvec.nn.training.encoder_loop import (
    Reporter,
    ValidatedTrainer,
    last_checkpoint,
    peak_memory,
    train_encoder,
    training_arguments,
)

CPU = torch.device("cpu")
OPTIONS = {
    "batch": 4,
    "accumulate": 1,
    "learning_rate": 0.05,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "precision": "float32",
    "checkpoint_steps": 3,
    "log_steps": 2,
}


class Points(Dataset[dict[str, Tensor]]):
    def __init__(self, count: int) -> None:
        self.values = torch.randn(count, 5, generator=torch.Generator().manual_seed(count))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"point": self.values[index]}


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(8)
        self.layer = nn.Linear(5, 1)
        self.dropout = nn.Dropout(0.3)
        self.seen: list[Tensor] = []

    def forward(self, point: Tensor) -> dict[str, Tensor]:
        self.seen.append(point)
        return {"loss": (self.layer(self.dropout(point)) - point.sum(1, keepdim=True)).square().mean()}


@dataclass
class Heard:
    """Stands for the MLflow run."""

    steps: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        self.steps.append((step, metrics))


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def train(
    folder: Path,
    validate: Any = None,
    stop: int | None = None,
    **options: Any,
) -> tuple[Model, dict[str, float], Heard, list[str]]:
    model, heard = Model(), Heard()
    lines: list[str] = []
    chosen: dict[str, Any] = OPTIONS | options
    arguments = training_arguments(
        TrainingArguments, folder, steps=10, seed=5, device=CPU, validated=validate is not None, **chosen
    )
    trainer = ValidatedTrainer(model=model, args=arguments, train_dataset=Points(200), validate=validate)
    if stop is not None:
        trainer.add_callback(StopAt(stop))
    reporter = Reporter(heard.log_step, lines.append, chosen["batch"] * chosen["accumulate"], "points")
    figures = train_encoder(trainer, reporter, 5 if validate else None)
    return model, figures, heard, lines


def test_interrupted_training_goes_on_and_ends_where_it_would_have(tmp_path: Path) -> None:
    whole, *_ = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stop=8)
    assert last_checkpoint(tmp_path / "cut") == str(tmp_path / "cut" / "checkpoint-6")
    resumed, *_ = train(tmp_path / "cut")
    torch.testing.assert_close(resumed.seen[-4:], whole.seen[-4:])
    assert len(resumed.seen) == 4
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


@pytest.mark.parametrize("lost", ["trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_checkpoint_that_was_cut_short_is_passed_over(tmp_path: Path, lost: str) -> None:
    train(tmp_path)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    (tmp_path / "checkpoint-10" / lost).unlink()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")
    (tmp_path / "checkpoint-9" / "trainer_state.json").write_text('{"global_step": ')
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_the_best_weights_are_left(tmp_path: Path) -> None:
    weights: list[Tensor] = []

    def validate(model: nn.Module) -> float:
        assert not model.training
        weights.append(model.state_dict()["layer.weight"].clone())
        return (0.5, 0.25)[len(weights) - 1]

    model, figures, heard, lines = train(tmp_path, validate)
    assert len(weights) == 2
    assert torch.equal(model.layer.weight, weights[0])
    assert not torch.equal(*weights)
    assert figures["validation_mrr_at_10"] == 0.5
    validated = [(step, metrics) for step, metrics in heard.steps if "validation/mrr_at_10" in metrics]
    assert validated == [(5, {"validation/mrr_at_10": 0.5}), (10, {"validation/mrr_at_10": 0.25})]
    assert "step 5: validation MRR@10 0.5000" in lines


def test_steps_are_reported_and_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, figures, heard, lines = train(tmp_path)
    assert [step for step, _ in heard.steps] == [2, 4, 6, 8, 10]
    for _, metrics in heard.steps:
        assert set(metrics) == {
            f"training/{name}" for name in ("loss", "learning_rate", "points_per_second", "peak_memory_bytes")
        }
        assert metrics["training/points_per_second"] > 0
    assert heard.steps[-1][1]["training/learning_rate"] < heard.steps[1][1]["training/learning_rate"] <= 0.05
    assert len(lines) == 5
    assert lines[0].startswith("step 2 of 10: loss ")
    assert figures["training_points_per_second"] > 0
    assert 1e7 < figures["peak_memory_bytes"] <= peak_memory(CPU)
    assert capfd.readouterr() == ("", "")


def test_accumulated_batches_are_one_larger_batch(tmp_path: Path) -> None:
    def without_dropout(folder: Path, batch: int, accumulate: int) -> Model:
        model = Model()
        model.dropout.p = 0.0
        chosen: dict[str, Any] = OPTIONS | {"batch": batch, "accumulate": accumulate}
        arguments = training_arguments(TrainingArguments, folder, steps=6, seed=5, device=CPU, **chosen)
        ValidatedTrainer(model=model, args=arguments, train_dataset=Points(200)).train()
        return model

    small, large = (
        without_dropout(tmp_path / str(batch), batch, accumulate) for batch, accumulate in ((4, 3), (12, 1))
    )
    torch.testing.assert_close(small.layer.weight, large.layer.weight, rtol=1e-5, atol=1e-6)


def test_mixed_precision_is_bfloat16(tmp_path: Path) -> None:
    chosen: dict[str, Any] = OPTIONS | {"precision": "bfloat16"}
    arguments = training_arguments(TrainingArguments, tmp_path, steps=1, seed=0, device=CPU, **chosen)
    assert arguments.bf16
    assert arguments.device == CPU


@pytest.mark.parametrize(
    ("factor", "steps", "message"),
    [
        (float("nan"), 10, "loss is nan at step 2"),
        (0.0, 10, "exactly 0 at step 10"),
        (0.0, 1, "exactly 0 at step 1"),
    ],
    ids=["not finite", "zero", "zero before the first report"],
)
def test_a_loss_that_teaches_nothing_ends_the_training(
    tmp_path: Path, factor: float, steps: int, message: str
) -> None:
    class Collapsed(Model):
        def forward(self, point: Tensor) -> dict[str, Tensor]:
            return {"loss": super().forward(point)["loss"] * factor}

    chosen: dict[str, Any] = OPTIONS
    arguments = training_arguments(TrainingArguments, tmp_path, steps=steps, seed=5, device=CPU, **chosen)
    trainer = ValidatedTrainer(model=Collapsed(), args=arguments, train_dataset=Points(200))
    heard = Heard()
    with pytest.raises(TrainingError, match=message):
        train_encoder(trainer, Reporter(heard.log_step, lambda _line: None, 4, "points"))
    assert not any(figures.get("loss") for _, figures in heard.steps)
