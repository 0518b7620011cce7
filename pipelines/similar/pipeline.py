"""The space `similar`: listings by text and image, trained by the hierarchical loss on products and families."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from pipelines.similar.encoding import NO_IMAGES, digests, encode, text_encoder, with_texts_by
from pipelines.similar.evaluation import divide, figures, slices, thresholds
from pipelines.similar.fitting import Epoch, embed, fit, judge
from pipelines.similar.listings import read_labels, require_levels
from pipelines.similar.space import SPACE, VECTOR
from pipelines.similar.tuning import tuned
from twinvec import digest
from twinvec.files import write_text
from twinvec.nn.device import resolve_device
from twinvec.nn.models.product_sim import ProductSIM
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.tracking import Run

ENCODERS = "encoders.json"
"""File in a version's folder: digests of the encoders and of what they read."""
TEXT_ENCODER = "text_encoder"
"""Folder beside the fusion encoder in MLflow: the text encoder, if it was trained."""


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Encode the listings, train on families that are not held out, and embed every listing."""
    settings, options = inputs.settings, inputs.settings.similar
    labels = read_labels(inputs.snapshot, settings.seed)
    require_levels(labels, inputs.snapshot.id)
    progress(f"{len(labels):,} listings of {labels.levels['product'].max() + 1:,} products")
    device, seed = resolve_device(settings.device), settings.seed
    encoder = text_encoder(options, device)
    content = encode(inputs.snapshot, labels, settings, encoder, None, progress)
    groups, division = labels.matrix(options.loss.levels), divide(labels, options)

    def report(prefix: str, epoch: Epoch) -> None:
        values = {"loss": epoch.loss, "validation_ndcg": epoch.ndcg, "listings_per_second": epoch.rate}
        known = {f"{prefix}{name}": value for name, value in values.items() if value == value}
        run.log_epoch(epoch.number, known)
        figures = f"loss {epoch.loss:.4f}, validation nDCG@{options.k} {epoch.ndcg:.4f}"
        progress(f"{prefix.replace('_', ': ')}epoch {epoch.number}: {figures}")

    problem = groups, division.training, division.validation, options, None
    model = fit(content, *problem, device, seed, partial(report, ""))
    if options.tune == "text":
        with tuned(content, inputs.snapshot, encoder, settings) as read:
            fit(read, *problem, device, seed, partial(report, "tuning_"), model)
        content = with_texts_by(encoder, content, inputs.snapshot, labels, settings, progress)
    identity = labels.matrix(("product", "family"))
    graded = judge(model, content, identity, division.test, options.k)
    validated = judge(model, content, identity, division.validation, options.k)
    has_image = content.has_image.numpy()
    metrics = {
        **figures(graded, options.k),
        **thresholds(validated),
        **slices(graded, labels, division.test, has_image[division.test], options.k),
        "with_text": float(content.has_text.float().mean()),
        "with_image": float(content.has_image.float().mean()),
    }
    model = model.cpu()
    parts = digests(settings, encoder, content.image.shape[1] != NO_IMAGES)
    return Outcome(
        keys=labels.items,
        vectors={VECTOR.name: embed(model, content).numpy()},
        metric="cosine",
        normalised=True,
        model=model_digest(model),
        preprocessing=digest.of_json(options.deciding()),
        metrics=metrics,
        entity=SPACE.entity.key,
        log_model=lambda: log_models(run, model, encoder if options.tune == "text" else None),
        write=lambda folder: write_record(folder, parts),
    )


def example(model: ProductSIM) -> dict[str, Tensor]:
    """Return inputs of a model as an example of its arguments."""
    text, image = len(model.no_text), len(model.no_image)
    there = torch.ones(2, dtype=torch.bool)
    return {
        "text": torch.ones(2, text),
        "has_text": there,
        "image": torch.ones(2, image),
        "has_image": there,
    }


def log_models(run: Run, model: ProductSIM, encoder: SentenceTransformer | None) -> str:
    """Log and register the fusion encoder, beside it the text encoder if one is given; return the URI of both."""
    with TemporaryDirectory() as folder:
        if encoder is None:
            return run.log_model(model, example(model))
        encoder.save(f"{folder}/{TEXT_ENCODER}", create_model_card=False)
        return run.log_model(model, example(model), [Path(folder) / TEXT_ENCODER])


def write_record(folder: Path, parts: Mapping[str, str]) -> None:
    """Write the digests of the encoders into a version's folder."""
    write_text(folder / ENCODERS, json.dumps(dict(parts), indent=2) + "\n")
