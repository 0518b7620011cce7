"""The space `category`: vectors of categories whose cosine is their association by co-purchases (MERLIN 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipelines.category.npmi import observed_pairs
from pipelines.category.space import SPACE
from twinvec import digest
from twinvec.columns import CATEGORY
from twinvec.nn.models.category import CategoryEmbedding, fit
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome
from twinvec.tracking import model_digest

if TYPE_CHECKING:
    from twinvec.tracking import Run

(FIELD,) = SPACE.fields


def train(inputs: Inputs, run: Run, progress: Progress) -> Outcome:
    """Count categories bought together, compute their NPMI, and factorise it."""
    settings, options = inputs.settings, inputs.settings.category
    observed = observed_pairs(inputs.snapshot, settings)
    # A category in no observed pair would have a random vector: it gets none.
    names: list[str] = sorted({*observed["a"].to_pylist(), *observed["b"].to_pylist()})
    progress(f"{len(names)} categories, {observed.num_rows} pairs with an NPMI")
    index = pa.array(names)
    a, b = (torch.tensor(pc.index_in(observed[end], index).to_numpy(), dtype=torch.int64) for end in "ab")
    npmi = torch.from_numpy(observed["npmi"].to_numpy().astype(np.float32))
    model, losses = fit(
        a, b, npmi, len(names), options.dimension, options.epochs, options.learning_rate, settings.seed
    )
    for epoch in range(0, len(losses), max(1, len(losses) // 20)):
        run.log_epoch(epoch, {"loss": losses[epoch]})
    vectors = model.vectors()
    with torch.no_grad():
        error = (model(a, b) - npmi).abs()
    return Outcome(
        entity=CATEGORY,
        keys=names,
        vectors={FIELD: vectors.numpy()},
        metric="cosine",
        normalised=True,
        model=model_digest(model),
        preprocessing=digest.of_json({"level": options.level, "min_count": options.min_count}),
        metrics={
            "observed_pairs": observed.num_rows,
            "mean_absolute_error": float(error.mean()) if len(error) else 0.0,
        },
        log_model=lambda: run.log_model(model, _example(model)),
    )


def associations(names: list[str], vectors: torch.Tensor, pairs: pa.Table) -> pa.Table:
    """Return AS(a, b) = cos(h_a, h_b) of pairs of categories, observed or not (MERLIN 3.2).

    Args:
        names: Names of the categories.
        vectors: Vectors of unit length, float32 [categories, d].
        pairs: Columns a and b, names of categories.

    Returns:
        `pairs` with the column association (float64); null where a category has no vector.
    """
    index = pa.array(names)
    ends = [pc.index_in(pairs[end], index) for end in "ab"]
    present = pc.and_(ends[0].is_valid(), ends[1].is_valid())
    rows = [torch.from_numpy(end.fill_null(0).to_numpy().astype(np.int64)) for end in ends]
    scores = (vectors[rows[0]] * vectors[rows[1]]).sum(1).double().numpy()
    masked = pa.array(scores, mask=~present.to_numpy(zero_copy_only=False))
    return pairs.append_column("association", masked)


def _example(model: CategoryEmbedding) -> dict[str, torch.Tensor]:
    categories = torch.arange(2) % len(model.weight)
    return {"a": categories, "b": categories.flip(0)}
