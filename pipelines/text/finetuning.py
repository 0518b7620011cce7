"""Fine-tuning of a sentence encoder on co-viewed products (MERLIN 3.3, 4.1.3)."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import torch
from datasets import Dataset, disable_progress_bars  # type: ignore[import-untyped]
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn

from pipelines.encoding.arguments import training_options
from pipelines.graph.product_graph import ProductGraph, Split
from pipelines.graph.renumbering import renumbered
from pipelines.text.coviews import open_coviewed, write_coviewed
from pipelines.text.encoder import encode_texts
from pipelines.text.forward import build_forward
from pipelines.text.freezing import frozen
from pipelines.text.losses import make_loss
from pipelines.text.trainer import TextTrainer, in_order
from pipelines.text.triplets import count_pairs, open_graph, write_epochs
from twinvec.metrics.coviews import rank_coviews
from twinvec.nn import processes
from twinvec.nn.device import Precision, training_precision
from twinvec.nn.training.encoder_loop import Reporter, train_encoder, training_arguments

if TYPE_CHECKING:
    from twinvec.nn.training.encoder_loop import Validate
    from twinvec.progress import Progress
    from twinvec.stage import Inputs
    from twinvec.tracking import Run


def fine_tune(
    encoder: SentenceTransformer,
    inputs: Inputs,
    graph: ProductGraph,
    run: Run,
    progress: Progress,
    device: torch.device,
) -> dict[str, float]:
    """Train `encoder` in place; it ends with the best weights by the held-out co-views, be they the initial ones.

    Interrupted training resumes from the last checkpoint. If several processes train together, each calls this.

    Args:
        encoder: Encoder from `load_encoder`, on `device`.
        inputs: A snapshot and the version of its graph.
        graph: That version, in memory.
        run: Run to log the figures of each step to.
        progress: Called with the same figures as a line of text.
        device: Device to train on.

    Returns:
        Metrics of the training; empty if there is nothing to train on.
    """
    settings, options = inputs.settings, inputs.settings.text.training
    with (
        frozen(encoder, options.frozen),
        _scratch(inputs) as folder,
        open_graph(
            inputs.snapshot, inputs.folder("graph"), options.min_hard_count, settings.ingest.memory_limit
        ) as connection,
    ):
        if not count_pairs(connection):
            return {}
        mined = folder / "triplets.arrow"
        if processes.is_first() and not mined.is_file():
            progress("mining triplets")
            write_coviewed(connection, folder / "coviewed.bin")
            write_epochs(connection, settings.text.scheme, options, settings.seed, mined)
        processes.wait()
        rows = Dataset.from_file(str(mined))
        if not len(rows):
            return {}
        precision = training_precision(options.precision, device)
        validate = _validation(connection, graph, options.validation_products, settings.text.batch, precision)
        connection.close()
        # With fewer rows than a batch for each process, there is one step with the rows there are.
        batch = max(2, min(options.batch, len(rows) // processes.count()))
        steps = max(1, len(rows) // (batch * processes.count() * options.accumulate))
        arguments = training_arguments(
            SentenceTransformerTrainingArguments,
            folder,
            steps,
            settings.seed,
            device,
            **training_options(options.model_copy(update={"batch": batch, "precision": precision})),
            validated=validate is not None,
            batch_sampler=in_order,
            dataloader_drop_last=len(rows) >= batch * processes.count(),
        )
        trainer = TextTrainer(
            model=encoder,
            args=arguments,
            train_dataset=rows,
            loss=make_loss(encoder, options, open_coviewed(folder / "coviewed.bin", graph.products)),
            validate=validate,
        )
        titles = batch * processes.count() * options.accumulate * (2 + options.negatives)
        reporter = Reporter(run.log_step, progress, titles, "titles")
        if validate is None:
            figures = train_encoder(trainer, reporter)
        else:
            before, weights = trainer.evaluate()["eval_mrr_at_10"], copy.deepcopy(encoder.state_dict())
            run.log_step(0, {"validation/mrr_at_10": before})
            figures = train_encoder(trainer, reporter, -(-steps // options.epochs))
            if figures["validation_mrr_at_10"] < before:
                progress("training made it worse: the weights it began with are kept")
                encoder.load_state_dict(weights)
                figures["validation_mrr_at_10"] = before
            figures["untrained_mrr_at_10"] = before
    encoder.eval()
    return figures


def _validation(
    connection: duckdb.DuckDBPyConnection,
    graph: ProductGraph,
    products: int,
    batch: int,
    precision: Precision,
) -> Validate | None:
    """Return a function that measures the MRR@10 of held-out co-views among at most `products` products.

    It is None if no co-view is held out.
    """
    nodes = connection.execute("SELECT node FROM described ORDER BY node").fetchnumpy()["node"]
    described = np.full(graph.products, -1)
    described[nodes] = np.arange(len(nodes))
    held_out = graph.coviews(Split.VALIDATION)
    held_out = held_out.only((described[held_out.source] >= 0) & (described[held_out.target] >= 0))
    if not len(held_out):
        return None
    spread = np.linspace(0, len(held_out) - 1, min(products // 4, len(held_out)), dtype=np.int64)
    held_out = held_out.only(np.isin(np.arange(len(held_out)), spread))
    ends = np.union1d(held_out.source, held_out.target)
    others = np.random.default_rng(0).permutation(np.setdiff1d(nodes, ends))[: max(0, products - len(ends))]
    pool = np.union1d(ends, others)
    row = np.full(graph.products, -1)
    row[pool] = np.arange(len(pool))
    held_out, training = (
        renumbered(held_out, row),
        renumbered(graph.coviews(Split.TRAIN), row).matrix(len(pool)),
    )
    connection.register("pool", {"node": pool})
    texts = connection.execute("SELECT text FROM described JOIN pool USING (node) ORDER BY node").fetchall()

    def validate(model: nn.Module) -> float:
        assert isinstance(model, SentenceTransformer)
        forward = build_forward(model, "torch", precision)
        vectors = torch.from_numpy(encode_texts(model, [text for (text,) in texts], batch, forward))
        return rank_coviews(vectors, held_out.ends, training).mrr_at_10

    return validate


@contextmanager
def _scratch(inputs: Inputs) -> Iterator[Path]:
    """Yield the folder of the checkpoints; a temporary one if none are kept."""
    disable_progress_bars()
    folder = inputs.checkpoints or inputs.settings.paths.checkpoints / "text"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    if inputs.checkpoints is None:
        shutil.rmtree(folder)
