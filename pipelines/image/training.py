"""Training of the image encoder by self-distillation (MERLIN 3.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines import processes
from pipelines.encoding.trainer import Reporter, train_to_the_end, training_arguments
from pipelines.image.augmentation import Augmentation, augment, draw
from pipelines.image.distillation import Distillation, Temperatures
from pipelines.image.encoder import ImageEncoder
from pipelines.image.pairs import Pairs, Views

if TYPE_CHECKING:
    from pipelines.outline import Progress
    from twinvec.settings.pipelines import ImageTraining
    from twinvec.tracking import Run

# Pairs that the projection is fitted to, before the training and after it.
SAMPLE, SAMPLE_BATCH = 4096, 64


class Follow(TrainerCallback):
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
    """Train an encoder, from the last checkpoint in `folder` if there is one.

    Args:
        encoder: where to start.
        pixels: RGB, uint8 [products, 3, size, size].
        pairs: rows of `pixels` whose images are to be alike, int64 [pairs, 2].
        options: how to train.
        folder: for checkpoints.
        seed: of heads, views and order.
        device: where to compute.
        run: gets each step's figures.
        progress: told of each logged step.

    Returns:
        The teacher in evaluation mode, and figures of the training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        distillation = build(encoder, pixels.shape[-1], options)
    distillation.to(device).prepare(*_features(encoder, distillation.views[0], pixels, pairs, seed))
    step = options.batch * options.accumulate * processes.count()
    steps = max(1, options.epochs * min(options.pairs, len(pairs)) // step)
    trainer = Trainer(
        model=distillation,
        args=training_arguments(
            TrainingArguments, options, folder, steps, seed, device, remove_unused_columns=False
        ),
        train_dataset=Views(pixels, pairs, steps * step, 1 + options.local_views, seed),
        data_collator=dict,
        callbacks=[Follow(distillation, run)],
    )
    # A pair has two images.
    reporter = Reporter(run, progress, 2 * step, "images")
    figures = train_to_the_end(trainer, reporter)
    figures |= {name: float(value) for name, value in distillation.figures.items()}
    # The projection that the head was trained on has room for what tells two variants of an image apart.
    teacher = distillation.teacher.eval()
    teacher.fit(*_features(teacher, distillation.views[0], pixels, pairs, seed))
    return teacher, figures


def build(encoder: ImageEncoder, size: int, options: ImageTraining) -> Distillation:
    """Student and teacher for images of `size` pixels; their heads are drawn from torch's generator."""
    whole = Augmentation(size, (options.global_area, 1.0))
    part = Augmentation(max(1, round(size * options.local_size)), (options.local_area, options.global_area))
    temperatures = Temperatures(options.student_temperature, options.teacher_temperature)
    return Distillation(encoder, (whole, part), options.outputs, temperatures, options.momentum)


@torch.no_grad()
def _features(
    encoder: ImageEncoder, view: Augmentation, pixels: npt.NDArray[np.uint8], pairs: Pairs, seed: int
) -> tuple[Tensor, Tensor]:
    """An encoder's features of both images of some pairs; where they are one image, of it and of a view."""
    device = encoder.mean.device
    rows = np.unique(np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs)), dtype=np.int64))
    features: list[tuple[Tensor, ...]] = []
    for some in np.array_split(rows, -(-len(rows) // SAMPLE_BATCH)):
        sides = [torch.from_numpy(pixels[side]).to(device).float() / 255 for side in pairs[some].T]
        if (pairs[some, 0] == pairs[some, 1]).all():
            sides[1] = augment(sides[1], draw(seed, some).to(device), view)
        features.append(tuple(map(encoder.features, sides)))
    first, second = zip(*features, strict=True)
    return torch.cat(first), torch.cat(second)
