"""Trains a small encoder in a process of its own: `distil_process.py OUT FOLDER KILL_AT OPTIONS_JSON`."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from pipelines import processes
from pipelines.image import training
from pipelines.image.encoder import UNTRAINED, encode_images, load_encoder
from twinvec.settings.pipelines import ImageTraining
from twinvec.tracking import SilentRun

out, folder, kill_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
options = ImageTraining(**json.loads(sys.argv[4]))
losses: list[float] = []


class Watch(training.Follow):
    """Keeps the losses, and kills the process at a step."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        super().on_log(args, state, control, **more)
        if "loss" in more["logs"]:
            losses.append(more["logs"]["loss"])

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


training.Follow = Watch  # type: ignore[misc]
random = np.random.default_rng(0)
pixels = random.integers(0, 256, (40, 3, 32, 32), np.uint8)
pairs = random.permutation(40).reshape(-1, 2)
with processes.together():
    encoder, figures = training.distil(
        load_encoder(UNTRAINED, 32, 48, seed=1),
        pixels,
        pairs,
        options,
        folder,
        7,
        torch.device("cpu"),
        SilentRun("", ""),
        lambda message: None,
    )
    if processes.is_first():
        vectors = encode_images(encoder, pixels, 40)
        out.write_text(json.dumps({"losses": losses, "vectors": vectors.tolist(), "figures": figures}))
