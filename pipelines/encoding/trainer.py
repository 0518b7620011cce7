"""What the training of both encoders shares, over transformers' `Trainer`: arguments, validation, reports, resuming."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate.utils import broadcast_object_list  # type: ignore[import-untyped]
from torch import nn
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging

from twinvec.settings.pipelines import EncoderTraining

if TYPE_CHECKING:
    from twinvec.stage import Progress
    from twinvec.tracking import Run

ArgumentsT = TypeVar("ArgumentsT", bound=TrainingArguments)
Validate = Callable[[nn.Module], float]
FIGURE = "mrr_at_10"


def training_arguments(
    kind: type[ArgumentsT],
    options: EncoderTraining,
    folder: Path,
    steps: int,
    seed: int,
    device: torch.device,
    validated: bool = False,
    **more: Any,
) -> ArgumentsT:
    """Arguments of a training that writes to `folder` and tells nobody.

    Args:
        kind: `TrainingArguments`, or a library's own.
        options: how to train.
        folder: for checkpoints, two at most beside the best.
        steps: of the optimiser, in all.
        seed: of the dropout, and of whatever order the trainer draws.
        device: where to compute; where several processes train on GPUs, each takes its own.
        validated: whether the trainer validates; the best checkpoint's weights are then what is left in the model.
        more: arguments that are given besides, or in place of these.
    """
    chosen: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": options.batch,
        "gradient_accumulation_steps": options.accumulate,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "warmup_steps": int(options.warmup * steps),
        "bf16": options.precision == "bfloat16",
        "use_cpu": device.type == "cpu",
        "seed": seed,
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": device.type == "cuda",
        "logging_steps": options.log_steps,
        "save_strategy": "steps",
        "save_steps": options.checkpoint_steps,
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
    }
    if validated:
        chosen |= {
            "eval_strategy": "steps",
            "eval_steps": options.checkpoint_steps,
            # `ValidateAtEpochs` says when, in place of the trainer.
            "eval_delay": steps + 1,
            "load_best_model_at_end": True,
            "metric_for_best_model": FIGURE,
            "greater_is_better": True,
        }
    arguments = kind(**chosen | more)
    if arguments.n_gpu > 1:
        # One process trains on one GPU; `torchrun` starts more.
        arguments._n_gpu = 1
    return arguments


class ValidatedTrainer(Trainer):
    """A trainer that validates by a function in place of a dataset; comes before the trainer it is mixed with.

    Args:
        validate: gives a figure of the model that is better when higher; called by the first process, in evaluation
            mode and without gradients. Not validated if None.
        arguments: of the trainer, all by name.
    """

    def __init__(self, *, validate: Validate | None = None, **arguments: Any) -> None:
        # The trainer asks for a dataset to validate on, and never reads it.
        dataset = arguments["train_dataset"] if validate else None
        super().__init__(**{"eval_dataset": dataset, **arguments})
        self.validate = validate

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The figure of the model as it is, the same in all processes."""
        assert self.validate is not None
        assert self.model is not None
        found = [0.0]
        training = self.model.training
        if self.is_world_process_zero():
            self.model.eval()
            with torch.no_grad():
                found = [float(self.validate(self.model))]
            self.model.train(training)
        metrics = {f"eval_{FIGURE}": float(broadcast_object_list(found)[0])}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class ValidateAtEpochs(TrainerCallback):
    """Validates and keeps a checkpoint every `steps` steps and after the last."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for both."""
        if state.global_step % self.steps == 0 or state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True


@dataclass
class Reporter(TrainerCallback):
    """Tells of the training as it goes on; in the first process only.

    Args:
        run: gets each logged step's loss, learning rate, throughput and peak memory, and what validation gave.
        progress: gets the same as a line.
        items: read in a step, by all processes together.
        unit: what they are, such as `titles`.
    """

    run: Run
    progress: Progress
    items: int
    unit: str
    steps: int = 0
    seconds: float = 0.0
    _since: float = 0.0
    _told: tuple[int, float] = (0, 0.0)

    @property
    def items_per_second(self) -> float:
        """Over the whole training but validation and checkpoints; 0 if no step was made."""
        return self.steps * self.items / self.seconds if self.seconds else 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Count the step."""
        now = time.perf_counter()
        self.steps, self.seconds, self._since = self.steps + 1, self.seconds + now - self._since, now

    def on_save(self, *_: Any, **__: Any) -> None:
        """Leave the time it took out of account."""
        self._since = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **more: Any,
    ) -> None:
        """Report the steps since the last report."""
        logs: dict[str, float] = more["logs"]
        if not state.is_world_process_zero or "loss" not in logs:
            return
        steps, seconds = self.steps - self._told[0], self.seconds - self._told[1]
        self._told = (self.steps, self.seconds)
        rate = steps * self.items / seconds if seconds else 0.0
        figures = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            f"{self.unit}_per_second": rate,
            "peak_memory_bytes": peak_memory(args.device),
        }
        self.run.log_step(state.global_step, {f"training/{name}": value for name, value in figures.items()})
        self.progress(
            f"step {state.global_step:,} of {state.max_steps:,}: loss {logs['loss']:.4f}, {rate:,.0f} {self.unit}/s"
        )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **more: Any,
    ) -> None:
        """Report what validation gave."""
        self._since = time.perf_counter()
        if state.is_world_process_zero:
            figure = more["metrics"][f"eval_{FIGURE}"]
            self.run.log_step(state.global_step, {f"validation/{FIGURE}": figure})
            self.progress(f"step {state.global_step:,}: validation MRR@10 {figure:.4f}")


def train_to_the_end(
    trainer: Trainer, reporter: Reporter, validate_every: int | None = None
) -> dict[str, float]:
    """Train, from the last whole checkpoint in the trainer's folder if there is one.

    Args:
        trainer: nothing of it is printed.
        reporter: told of each step.
        validate_every: steps between validations; None for a trainer that does not validate.

    Returns:
        `training_UNIT_per_second`, `peak_memory_bytes`, and `validation_mrr_at_10` of the best if it was validated.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    for silenced in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(silenced)
    trainer.add_callback(reporter)
    if validate_every is not None:
        trainer.add_callback(ValidateAtEpochs(validate_every))
    assert trainer.args.output_dir is not None
    trainer.train(
        resume_from_checkpoint=last_checkpoint(Path(trainer.args.output_dir), trainer.args.world_size)
    )
    figures = {
        f"training_{reporter.unit}_per_second": reporter.items_per_second,
        "peak_memory_bytes": float(peak_memory(trainer.args.device)),
    }
    if trainer.state.best_metric is not None:
        figures["validation_mrr_at_10"] = float(trainer.state.best_metric)
    return figures


def last_checkpoint(folder: Path, processes: int = 1) -> str | None:
    """The furthest checkpoint in `folder` that was written to the end, or None."""
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    found = {}
    for path in folder.glob("checkpoint-*"):
        if all((path / name).is_file() for name in ["optimizer.pt", "scheduler.pt", *states]):
            try:
                # Written last.
                found[json.loads((path / "trainer_state.json").read_text())["global_step"]] = str(path)
            except (OSError, ValueError, KeyError):
                continue
    return found[max(found)] if found else None


def peak_memory(device: torch.device) -> int:
    """Bytes that the process, or on a GPU its tensors, took at most so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
