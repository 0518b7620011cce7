"""The space `text`: vectors of titles and categories by a sentence encoder (MERLIN 3.3)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import mlflow.sentence_transformers
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sentence_transformers
import torch
from mlflow.models import infer_signature
from sentence_transformers import SentenceTransformer

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.encoding.registered import log_once
from pipelines.graph.coviews import coview_metrics
from pipelines.graph.product_graph import load_graph
from pipelines.text.encoder import dimension, encode_texts, load_encoder
from pipelines.text.finetuning import fine_tune
from pipelines.text.forward import build_forward
from pipelines.text.on_cluster import encode_on_cluster
from pipelines.text.space import SPACE
from pipelines.text.texts import count_texts, preprocessing_digest, read_languages, read_texts
from twinvec.engine import open_cluster
from twinvec.nn.device import resolve_device
from twinvec.nn.training.encoder_loop import peak_memory
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest, register_model

if TYPE_CHECKING:
    from twinvec.tracking import Run

(FIELD,) = SPACE.fields
# Products encoded together, sorted by the length of their texts.
CHUNK = 4096


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Train the encoder on co-views, if there are any, and encode the products' texts chunk by chunk."""
    settings, options = inputs.settings, inputs.settings.text
    device = resolve_device(settings.device)
    encoder = load_encoder(options.model, options.max_length, device)
    graph = load_graph(inputs.folder("graph")) if "graph" in inputs.versions else None
    trained = {}
    if graph is not None and options.scheme != "pretrained":
        trained = fine_tune(encoder, inputs, graph, run, progress, device)
    total = count_texts(inputs.snapshot)
    vectors = disk_matrix(settings.home, total, dimension(encoder))
    keys: list[pa.Array] = []

    def remembered() -> Iterator[pa.Array]:
        for chunk in read_texts(inputs.snapshot, CHUNK):
            keys.append(chunk.product_ids)
            yield chunk.texts

    with open_cluster(settings) as cluster:
        if cluster is None:
            forward = build_forward(encoder, options.backend, options.precision)
            encoded: Iterator[npt.NDArray[np.float32]] = (
                encode_texts(encoder, texts.to_pylist(), options.batch, forward, options.tokens)
                for texts in remembered()
            )
        else:
            encoded = encode_on_cluster(cluster, encoder, remembered(), options, settings.ray.encoders)
        done, started = 0, time.perf_counter()
        before = started
        for step, part in enumerate(encoded):
            vectors[done : done + len(part)] = part
            done, now = done + len(part), time.perf_counter()
            run.log_epoch(step, {"titles_per_second": len(part) / (now - before)})
            progress(f"{done:,} of {total:,} products, {done / (now - started):,.0f} titles/s")
            before = now
        seconds = before - started
    model, preprocessing = model_digest(encoder), preprocessing_digest(encoder)
    product_ids = pa.concat_arrays(keys)
    found = {}
    if graph is not None:
        found = coview_metrics(graph, product_ids, vectors, read_languages(inputs.snapshot, product_ids))
    return Outcome(
        keys=product_ids,
        vectors={FIELD: vectors},
        metric="cosine",
        normalised=True,
        model=model,
        preprocessing=preprocessing,
        metrics={
            "coverage": total / inputs.snapshot.tables["products"],
            "titles_per_second": done / seconds,
            "peak_memory_bytes": peak_memory(device),
            **trained,
            **found,
        },
        log_model=lambda: log_once("text", model, preprocessing, lambda: log_encoder(encoder)),
    )


def log_encoder(encoder: SentenceTransformer) -> str:
    """Log and register the encoder as sentence-transformers saves it: safetensors, its tokenizer and settings.

    Returns:
        Its URI; `mlflow.sentence_transformers.load_model` gives it back.
    """
    example = ["Electronics > Phones: Acme Nova X2 Smartphone, Blue", "Smartphone"]
    info = mlflow.sentence_transformers.log_model(
        encoder,
        name="model",
        signature=infer_signature(example, np.asarray(encode_texts(encoder, example, len(example)))),
        input_example=example,
        # Named here, since MLflow would load the model in another process to find them.
        pip_requirements=[
            f"sentence-transformers=={sentence_transformers.__version__}",
            f"torch=={torch.__version__.split('+')[0]}",
        ],
    )
    return register_model("text", info.model_id, info.run_id)
