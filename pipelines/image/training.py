"""Training of the image encoder by self-distillation (MERLIN 3.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.encoding.arguments import training_options
from pipelines.image.pairs import Pairs, Views
from twinvec.nn import processes
from twinvec.nn.augmentation import Augmentation
from twinvec.nn.losses.distillation import Distillation
from twinvec.nn.models.image import ImageEncoder
from twinvec.nn.training.encoder_loop import Reporter, train_encoder, training_arguments

if TYPE_CHECKING:
    from twinvec.progress import Progress
    from twinvec.settings.pipelines import ImageTraining
    from twinvec.tracking import Run


class TeacherUpdate(TrainerCallback):
    """Moves the teacher after each step, and reports whether its outputs collapse."""

    def __init__(self, distillation: Distillation, run: Run) -> None:
        self.distillation, self.run = distillation, run

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the teacher."""
        self.distillation.follow(state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Report the last batch's figures."""
        if state.is_world_process_zero and self.distillation.figures:
            figures = {f"training/{name}": float(value) for name, value in self.distillation.figures.items()}
            self.run.log_step(state.global_step, figures)


def distil(
    encoder: ImageEncoder,
    pixels: npt.NDArray[np.uint8],
    pairs: Pairs,
    options: ImageTraining,
    folder: Path,
    seed: int,
    device: torch.device,
    run: Run,
    progress: Progress,
) -> tuple[ImageEncoder, dict[str, float]]:
    """Train an encoder by self-distillation, from the last checkpoint in `folder` if there is one.

    Args:
        encoder: Encoder to start from.
        pixels: RGB, uint8 [products, 3, size, size].
        pairs: Rows of `pixels` whose vectors shall be similar, int64 [pairs, 2].
        options: Settings of the training.
        folder: Folder of the checkpoints.
        seed: Seed of heads, views and order.
        device: Device to compute on.
        run: Run to log the figures of each step to.
        progress: Called with a line of text for each logged step.

    Returns:
        The teacher in evaluation mode, and figures of the training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        distillation = build(encoder, pixels.shape[-1], options)
    distillation.to(device)
    step = options.batch * options.accumulate * processes.count()
    steps = max(1, options.epochs * min(options.pairs, len(pairs)) // step)
    trainer = Trainer(
        model=distillation,
        args=training_arguments(
            TrainingArguments,
            folder,
            steps,
            seed,
            device,
            **training_options(options),
            remove_unused_columns=False,
            lr_scheduler_type="cosine",
        ),
        train_dataset=Views(pixels, pairs, steps * step, 1 + options.local_views, seed),
        data_collator=dict,
        callbacks=[TeacherUpdate(distillation, run)],
    )
    # A pair has two images.
    reporter = Reporter(run.log_step, progress, 2 * step, "images")
    figures = train_encoder(trainer, reporter)
    figures |= {name: float(value) for name, value in distillation.figures.items()}
    return distillation.teacher.eval(), figures


def build(encoder: ImageEncoder, size: int, options: ImageTraining) -> Distillation:
    """Return student and teacher for images of `size` pixels; their heads are drawn from torch's generator."""
    whole = Augmentation(size, (options.global_area, 1.0))
    part = Augmentation(max(1, round(size * options.local_size)), (options.local_area, options.global_area))
    temperatures = options.student_temperature, options.teacher_temperature
    return Distillation(encoder, (whole, part), options.outputs, temperatures, options.momentum)
