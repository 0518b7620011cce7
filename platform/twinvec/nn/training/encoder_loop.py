"""Training loop of text and image encoders, over transformers' `Trainer`: arguments, validation, reports, resuming."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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

from twinvec.nn.device import Precision, resolve_precision
from twinvec.nn.training.finite import check_loss

ArgumentsT = TypeVar("ArgumentsT", bound=TrainingArguments)
Validate = Callable[[nn.Module], float]
FIGURE = "mrr_at_10"
WORKERS = 4


def training_arguments(
    kind: type[ArgumentsT],
    folder: Path,
    steps: int,
    seed: int,
    device: torch.device,
    *,
    batch: int,
    accumulate: int,
    learning_rate: float,
    weight_decay: float,
    warmup: float,
    precision: Precision,
    checkpoint_steps: int,
    log_steps: int,
    validated: bool = False,
    **more: Any,
) -> ArgumentsT:
    """Return arguments of a training that writes checkpoints to `folder` and reports to no service.

    Args:
        kind: `TrainingArguments`, or a library's subclass of it.
        folder: Folder of the checkpoints; the best one and the last two are kept.
        steps: Number of steps of the optimiser.
        seed: Seed of the dropout, and of any order that the trainer draws.
        device: Device to compute on; of several processes that train on GPUs, each takes its own.
        batch: Rows in a batch, of one process.
        accumulate: Batches whose gradients make one step.
        learning_rate: Learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        warmup: Share of the steps in which the learning rate rises.
        precision: `bfloat16` runs the model in mixed precision; `auto` does so on a GPU.
        checkpoint_steps: Steps between checkpoints.
        log_steps: Steps between reports.
        validated: Whether the trainer validates; the model then ends with the weights of the best checkpoint.
        more: Other arguments, which take precedence over these.
    """
    chosen: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": steps,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulate,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warmup_steps": int(warmup * steps),
        "bf16": resolve_precision(precision, device) == "bfloat16",
        "use_cpu": device.type == "cpu",
        "seed": seed,
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": device.type == "cuda",
        # Batches are made ahead of a GPU; a CPU would only share its cores with them.
        "dataloader_num_workers": WORKERS if device.type == "cuda" else 0,
        "logging_steps": log_steps,
        # Or the trainer puts the loss of other steps, or 0, in the place of one that is not finite.
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": checkpoint_steps,
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
    }
    if validated:
        chosen |= {
            "eval_strategy": "steps",
            "eval_steps": checkpoint_steps,
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
    """A trainer that validates by a function in place of a dataset; as a mixin, it comes before the other trainer.

    Args:
        validate: Return a figure of the model, higher is better; called by the first process, in evaluation mode and
            without gradients. None does not validate.
        arguments: Arguments of the trainer, all by name.
    """

    def __init__(self, *, validate: Validate | None = None, **arguments: Any) -> None:
        # The trainer requires a dataset to validate on, and never reads it.
        dataset = arguments["train_dataset"] if validate else None
        super().__init__(**{"eval_dataset": dataset, **arguments})
        self.validate = validate

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the figure of the model as it is now, the same in all processes."""
        assert self.validate is not None
        assert self.model is not None
        figure = [0.0]
        training = self.model.training
        if self.is_world_process_zero():
            self.model.eval()
            with torch.no_grad():
                figure = [float(self.validate(self.model))]
            self.model.train(training)
        metrics = {f"eval_{FIGURE}": float(broadcast_object_list(figure)[0])}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class ValidateAtEpochs(TrainerCallback):
    """Validate and keep a checkpoint every `steps` steps and after the last."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Request both."""
        if state.global_step % self.steps == 0 or state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True


@dataclass
class Reporter(TrainerCallback):
    """Report the training while it runs; in the first process only.

    Args:
        log_step: Called with a step and its figures: loss, learning rate, throughput and peak memory of each logged
            step, and the figure of each validation.
        progress: Called with the same as a line of text.
        items: Number of items read in a step by all processes together.
        unit: Name of the items, such as `titles`.
    """

    log_step: Callable[[int, Mapping[str, float]], None]
    progress: Callable[[str], None]
    items: int
    unit: str
    steps: int = 0
    seconds: float = 0.0
    _since: float = 0.0
    _reported: tuple[int, float] = (0, 0.0)
    _learnt: int = 0

    @property
    def items_per_second(self) -> float:
        """Throughput of the training without validation and checkpoints; 0 if no step was made."""
        return self.steps * self.items / self.seconds if self.seconds else 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Count the step."""
        now = time.perf_counter()
        self.steps, self.seconds, self._since = self.steps + 1, self.seconds + now - self._since, now

    def on_save(self, *_: Any, **__: Any) -> None:
        """Leave out the time of the checkpoint."""
        self._since = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **more: Any,
    ) -> None:
        """Report the steps since the last report; a loss that is not finite, or 0 for an epoch, ends the training."""
        logs: dict[str, float] = more["logs"]
        if "loss" not in logs:
            return
        # With a margin, the loss of a few steps may be 0; that of a whole epoch is not.
        epoch = state.max_steps / max(1, state.num_train_epochs)
        if logs["loss"] or state.global_step - self._learnt >= epoch:
            check_loss(logs["loss"], f"step {state.global_step:,}")
            self._learnt = state.global_step
        if not state.is_world_process_zero:
            return
        steps, seconds = self.steps - self._reported[0], self.seconds - self._reported[1]
        self._reported = (self.steps, self.seconds)
        rate = steps * self.items / seconds if seconds else 0.0
        figures = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            f"{self.unit}_per_second": rate,
            "peak_memory_bytes": peak_memory(args.device),
        }
        self.log_step(state.global_step, {f"training/{name}": value for name, value in figures.items()})
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
        """Report the figure of a validation."""
        self._since = time.perf_counter()
        if state.is_world_process_zero:
            figure = more["metrics"][f"eval_{FIGURE}"]
            self.log_step(state.global_step, {f"validation/{FIGURE}": figure})
            self.progress(f"step {state.global_step:,}: validation MRR@10 {figure:.4f}")


def train_encoder(
    trainer: Trainer, reporter: Reporter, validate_every: int | None = None
) -> dict[str, float]:
    """Train, from the last complete checkpoint in the trainer's folder if there is one.

    Args:
        trainer: The trainer; it prints nothing.
        reporter: Reporter of the steps.
        validate_every: Steps between validations; None for a trainer that does not validate.

    Returns:
        `training_UNIT_per_second`, `peak_memory_bytes`, and, if validated, `validation_mrr_at_10` of the best.

    Raises:
        TrainingError: If the loss of the steps of a report is not finite, or exactly 0 for an epoch.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    for silenced in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(silenced)
    trainer.add_callback(reporter)
    if validate_every is not None:
        trainer.add_callback(ValidateAtEpochs(validate_every))
    assert trainer.args.output_dir is not None
    trained = trainer.train(
        resume_from_checkpoint=last_checkpoint(Path(trainer.args.output_dir), trainer.args.world_size)
    )
    if reporter.steps:
        check_loss(trained.training_loss, f"step {trained.global_step:,}")
    figures = {
        f"training_{reporter.unit}_per_second": reporter.items_per_second,
        "peak_memory_bytes": float(peak_memory(trainer.args.device)),
    }
    if trainer.state.best_metric is not None:
        figures["validation_mrr_at_10"] = float(trainer.state.best_metric)
    return figures


def last_checkpoint(folder: Path, processes: int = 1) -> str | None:
    """Return the checkpoint of the most steps in `folder` that is complete, or None."""
    states = ["rng_state.pth"] if processes == 1 else [f"rng_state_{rank}.pth" for rank in range(processes)]
    complete = {}
    for path in folder.glob("checkpoint-*"):
        if all((path / name).is_file() for name in ["optimizer.pt", "scheduler.pt", *states]):
            try:
                # This file is written last.
                complete[json.loads((path / "trainer_state.json").read_text())["global_step"]] = str(path)
            except (OSError, ValueError, KeyError):
                continue
    return complete[max(complete)] if complete else None


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes of the process, or on a GPU of its tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
