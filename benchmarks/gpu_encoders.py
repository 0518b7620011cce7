"""Encoding and training of texts and images on a device: parts of `benchmarks/gpu.py`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset, disable_progress_bars  # type: ignore[import-untyped]
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.trainer import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from pipelines.image.encoder import UNTRAINED, encode_images
from pipelines.image.encoder import load_encoder as load_image_encoder
from pipelines.image.pairs import Views
from pipelines.text.coviews import CoviewedPairs
from pipelines.text.encoder import INSTALLED, encode_texts, load_encoder
from pipelines.text.forward import build_forward
from pipelines.text.losses import RankingLoss
from pipelines.text.trainer import TextTrainer, in_order
from twinvec.nn.augmentation import Augmentation
from twinvec.nn.losses.distillation import Distillation
from twinvec.nn.training.encoder_loop import training_arguments

# Defaults of the settings `text` and `image`.
CHUNK, MAX_LENGTH, TOKENS, ROWS, LEARNING_RATE, SCALE = 4096, 64, 131_072, 64, 3e-4, 20.0
SIZE, VECTOR, IMAGE_BATCH = 32, 256, 64
# Steps before the clock starts.
WARM_UP = 20


class Clock(TrainerCallback):
    """Seconds of the steps after the first `WARM_UP`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.started, self.seconds = 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Read the clock."""
        if state.global_step in (WARM_UP, state.max_steps):
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.started
            self.started = time.perf_counter()


def measure_texts(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Encode and train with the installed sentence encoder, by its library alone and by Twinvec."""
    titles = read_titles(options.titles, options.texts)
    encoder = load_encoder(INSTALLED, MAX_LENGTH, device)

    def encode() -> None:
        for first in range(0, len(titles), CHUNK):
            encode_texts(encoder, titles[first : first + CHUNK], ROWS, tokens=TOKENS, forward=forward)

    forward = build_forward(encoder, "torch", "auto")
    rows = {
        "encoding, library": rate(lambda: encoder.encode(titles, show_progress_bar=False), len(titles)),
        "encoding, ours": rate(encode, len(titles)),
    }
    disable_progress_bars()
    dataset = triplets(titles, ROWS * options.steps)
    keys = np.unique(np.random.default_rng(0).integers(0, len(titles) ** 2, 50_000))
    loss = RankingLoss(encoder, CoviewedPairs(torch.from_numpy(keys), len(titles)).to(device), SCALE)
    plain = dataset.remove_columns("label")
    library = MultipleNegativesRankingLoss(encoder, scale=SCALE)
    trainings: dict[str, tuple[Any, Dataset, nn.Module, str]] = {
        "training, library": (SentenceTransformerTrainer, plain, library, "float32"),
        "training, ours": (TextTrainer, dataset, loss, "auto"),
    }
    for name, (kind, data, objective, precision) in trainings.items():
        with TemporaryDirectory() as folder:
            arguments = text_arguments(Path(folder), options.steps, device, precision)
            if kind is SentenceTransformerTrainer:
                arguments.dataloader_num_workers = 0
            trainer = kind(model=encoder, args=arguments, train_dataset=data, loss=objective)
            rows[name] = train(trainer, 3 * ROWS, device)
    return rows


def text_arguments(
    folder: Path, steps: int, device: torch.device, precision: Any
) -> SentenceTransformerTrainingArguments:
    """Return the arguments of a training as the stage `text` has them, without checkpoints."""
    return training_arguments(
        SentenceTransformerTrainingArguments,
        folder,
        steps,
        0,
        device,
        **common(LEARNING_RATE, precision),
        batch=ROWS,
        batch_sampler=in_order,
    )


def common(learning_rate: float, precision: Any) -> dict[str, Any]:
    """Return the arguments that texts and images share."""
    return {
        "accumulate": 1,
        "learning_rate": learning_rate,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "precision": precision,
        "checkpoint_steps": 10_000,
        "log_steps": 50,
        "save_strategy": "no",
    }


def measure_images(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Encode and train with the untrained ViT, by timm alone and by Twinvec."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (options.images, 3, SIZE, SIZE), np.uint8)
    encoder = load_image_encoder(UNTRAINED, SIZE, VECTOR, 0).to(device)
    rows = {
        "encoding, library": rate(lambda: encode_by_library(encoder.backbone, pixels, device), len(pixels)),
        "encoding, ours": rate(lambda: encode_images(encoder, pixels, IMAGE_BATCH, "auto"), len(pixels)),
    }
    views = Augmentation(SIZE, (0.6, 1.0)), Augmentation(SIZE // 2, (0.3, 0.6))
    model = Distillation(encoder, views, 256, (0.1, 0.025), 0.97).to(device)
    pairs = generator.integers(0, len(pixels), (len(pixels), 2))
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=training_arguments(
                TrainingArguments,
                Path(folder),
                options.steps,
                0,
                device,
                **common(3e-3, "auto"),
                batch=IMAGE_BATCH,
                remove_unused_columns=False,
            ),
            train_dataset=Views(pixels, pairs, options.steps * IMAGE_BATCH, 2, 0),
            data_collator=dict,
        )
        rows["training, ours"] = train(trainer, 2 * IMAGE_BATCH, device)
    return rows


def encode_by_library(backbone: nn.Module, pixels: npt.NDArray[np.uint8], device: torch.device) -> None:
    """Run timm's model on batches of normalised images in float32."""
    with torch.inference_mode():
        for first in range(0, len(pixels), IMAGE_BATCH):
            images = torch.from_numpy(pixels[first : first + IMAGE_BATCH]).to(device).float() / 255
            backbone((images - 0.5) / 0.5).cpu()


def rate(run: Callable[[], object], items: int) -> dict[str, float]:
    """Return items a second of the second of two runs."""
    run()
    started = time.perf_counter()
    run()
    return {"per_second": items / (time.perf_counter() - started)}


def train(trainer: Trainer, items: int, device: torch.device) -> dict[str, float]:
    """Train, and return the items a second after the first steps, of `items` a step."""
    clock = Clock(device)
    trainer.add_callback(clock)
    trainer.train()
    return {"per_second": (trainer.args.max_steps - WARM_UP) * items / clock.seconds}


def triplets(titles: list[str], rows: int) -> Dataset:
    """Return rows as the stage mines them: anchor, positive, negative, and the products and wordings of the three."""
    drawn = np.random.default_rng(1).integers(0, len(titles), (rows, 3))
    columns = {
        name: [titles[number] for number in drawn[:, column]]
        for column, name in enumerate(("anchor", "positive", "negative"))
    }
    return Dataset.from_dict({**columns, "label": np.concatenate([drawn, drawn], axis=1).tolist()})


def read_titles(path: Path | None, count: int) -> list[str]:
    """Return so many titles of a file, or generated ones of 3 to 20 words."""
    if path is not None:
        return path.read_text("utf-8").splitlines()[:count]
    generator = np.random.default_rng(0)
    words = np.array(
        [first + second for first in ("lor", "ips", "dol", "sit") for second in ("em", "um", "or", "a")]
    )
    return [" ".join(generator.choice(words, generator.integers(3, 21))) for _ in range(count)]
