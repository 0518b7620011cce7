"""The space `similar`: listings by text and image, trained by the hierarchical loss on products and families."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_model
from torch import Tensor

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.similar.encoding import Encoders, digests, encode, encode_trained, load_encoders
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
from twinvec.settings.similar import SimilarSettings
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.tracking import Run

ENCODERS = "encoders.json"
"""File in a version's folder: digests of the encoders and of what they read."""
TEXT_ENCODER, IMAGE_ENCODER = "text_encoder", "image_encoder.safetensors"
"""Beside the fusion encoder in MLflow, if trained: folder of the text encoder, file of the image encoder's weights."""


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Encode the listings, train on families that are not held out, and embed every listing."""
    settings, options = inputs.settings, inputs.settings.similar
    labels = read_labels(inputs.snapshot, settings.seed, settings.ingest.memory_limit)
    require_levels(labels, inputs.snapshot.id)
    progress(f"{len(labels):,} listings of {labels.levels['product'].max() + 1:,} products")
    device, seed = resolve_device(settings.device), settings.seed
    encoders = load_encoders(inputs.snapshot, settings, device)
    content = encode(inputs.snapshot, labels, settings, encoders, progress)
    groups, division = labels.matrix(options.loss.levels), divide(labels, options)

    def report(prefix: str, epoch: Epoch) -> None:
        values = {"loss": epoch.loss, "validation_ndcg": epoch.ndcg, "listings_per_second": epoch.rate}
        known = {f"{prefix}{name}": value for name, value in values.items() if value == value}
        run.log_epoch(epoch.number, known)
        figures = f"loss {epoch.loss:.4f}, validation nDCG@{options.k} {epoch.ndcg:.4f}"
        progress(f"{prefix.replace('_', ': ')}epoch {epoch.number}: {figures}")

    problem = groups, division.training, division.validation, options, None
    model = fit(content, *problem, device, seed, partial(report, ""))
    if options.tune != "fusion":
        with tuned(content, inputs.snapshot, encoders, settings, progress) as read:
            fit(read, *problem, device, seed, partial(report, "tuning_"), model)
        content = encode_trained(content, inputs.snapshot, labels, settings, encoders, progress)
    del groups, problem
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
    parts = digests(settings, encoders)
    vectors = disk_matrix(settings.home, len(labels), options.dimension)
    embed(model, content, into=vectors)
    return Outcome(
        keys=labels.items,
        vectors={VECTOR.name: vectors},
        metric="cosine",
        normalised=True,
        model=model_digest(model),
        preprocessing=digest.of_json(options.deciding()),
        metrics=metrics,
        entity=SPACE.entity.key,
        log_model=lambda: log_models(run, model, encoders, options),
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


def log_models(run: Run, model: ProductSIM, encoders: Encoders, options: SimilarSettings) -> str:
    """Log and register the fusion encoder, beside it the encoders that were trained; return the URI of all."""
    with TemporaryDirectory() as name:
        folder, files = Path(name), []
        if options.tunes_text:
            encoders.text.save(str(folder / TEXT_ENCODER), create_model_card=False)
            files.append(folder / TEXT_ENCODER)
        if options.tunes_image:
            assert encoders.image is not None
            save_model(encoders.image, str(folder / IMAGE_ENCODER))
            files.append(folder / IMAGE_ENCODER)
        return run.log_model(model, example(model), files)


def write_record(folder: Path, parts: Mapping[str, str]) -> None:
    """Write the digests of the encoders into a version's folder."""
    write_text(folder / ENCODERS, json.dumps(dict(parts), indent=2) + "\n")
