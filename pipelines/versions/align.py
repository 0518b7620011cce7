"""Alignment of a version to the space of an older one, so that a team that trained on that can read the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipelines.encoding.disk_matrix import disk_matrix
from pipelines.versions.kind import Kind
from pipelines.versions.model import Aligner
from pipelines.versions.pairing import Batch, SideBySide, side_by_side
from pipelines.versions.retrieval import Floats, Nearest, own_ranks, recall, unit
from pipelines.versions.transform import Moments, Transform, fit_affine, fit_orthogonal
from registry import operations
from registry.database import transaction
from registry.models import Version
from twinvec import digest
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.errors import StateError
from twinvec.metrics.ranking import ranking_metrics
from twinvec.progress import Progress
from twinvec.stage import Inputs, Outcome, fingerprint, make_version
from twinvec.tracking import model_digest
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from twinvec.tracking import Run

REVISION = 1
# One shared product in five is held out and measured, and no more than can be compared at once.
ONE_IN = 5
MOST_HELD_OUT = 10_000
MOST_QUERIES = 1_000
K = 10


@dataclass(frozen=True)
class Alignment:
    """The outcome of an alignment.

    Attributes:
        version: Version of the space `<space>_onto`.
        made: Whether it was made now; otherwise it existed before.
    """

    version: Version
    made: bool


def align(workspace: Workspace, read: Version, onto: Version, kind: Kind, progress: Progress) -> Alignment:
    """Make the version of `<space>_onto` that has the products of `read` in the space of `onto`.

    This is a space of its own, so that no reader of the latest version of a space gets an aligned one. Its columns
    have the names of those of `onto`. One orthogonal transform without a shift serves all columns: dot products
    between columns, such as source and target, stay the same. An affine transform is fitted for each column.

    Raises:
        StateError: If both are the same version, are of different spaces, or share too few products; or if `kind` is
            orthogonal and their dimensions differ.
    """
    _require_two_of_a_space(read, onto, kind)
    space, settings = f"{read.space}_onto", workspace.settings
    parameters = {"read": read.name, "onto": onto.name, "kind": kind.value, "seed": settings.seed}
    versions = {"read": read, "onto": onto}
    mark = fingerprint(space, read.snapshot_id, versions, parameters, REVISION)
    with transaction(workspace.engine) as session:
        existing = operations.latest_version(session, space, mark)
    if existing is not None:
        return Alignment(existing, made=False)
    with side_by_side(settings, read, onto) as both:
        held_out = _held_out(both, read, onto)
        inputs = Inputs(workspace, open_snapshot(Path(read.snapshot.path)), versions)
        train = partial(_train, both=both, held_out=held_out, kind=kind)
        return Alignment(make_version(inputs, space, mark, parameters, train, progress), made=True)


def _require_two_of_a_space(read: Version, onto: Version, kind: Kind) -> None:
    if read.id == onto.id:
        raise StateError(f"{read.name} is in its own space already", "name another version with --onto")
    if read.space != onto.space:
        raise StateError(
            f"{read.name} and {onto.name} are not of the same space",
            f"name a version of {read.space} with --onto",
        )
    if kind is Kind.ORTHOGONAL and read.dimension != onto.dimension:
        raise StateError(
            f"{read.name} has {read.dimension} dimensions and {onto.name} {onto.dimension}: "
            "nothing orthogonal leads from one to the other",
            "give --kind affine",
        )


def _held_out(both: SideBySide, read: Version, onto: Version) -> int:
    """Return the number of shared products to measure on."""
    shared = both.counts().shared
    held_out = min(MOST_HELD_OUT, shared // ONE_IN)
    if held_out < 2 or shared - held_out <= both.new.dimension:
        raise StateError(
            f"{read.name} and {onto.name} share {shared:,} of their {read.rows or 0:,} and {onto.rows or 0:,} "
            f"products, too few for {both.new.dimension} dimensions",
            f"one in {ONE_IN} is kept for measuring; of the others, more are needed than there are dimensions",
        )
    return held_out


def _train(
    inputs: Inputs, run: Run, progress: Progress, both: SideBySide, held_out: int, kind: Kind
) -> Outcome:
    progress(f"fitting, with {held_out:,} products held out")
    sample = both.sample(held_out, inputs.settings.seed)
    model = Aligner(fit(both, kind), both.old.normalised)
    figures = measure(model, sample, both.old.metric == "cosine")
    progress(f"reading {both.new.rows:,} products in the space of {inputs.versions['onto'].name}")
    keys, vectors = _transformed(both, model, inputs.settings.home)
    example = {field: torch.ones(2, both.new.dimension) for field in both.new.fields}
    return Outcome(
        keys=keys,
        vectors=vectors,
        metric=both.old.metric,
        normalised=both.old.normalised,
        model=model_digest(model),
        preprocessing=digest.of_json({"kind": kind.value, "of": inputs.versions["read"].digest}),
        metrics=figures,
        log_model=lambda: run.log_model(model, example),
        entity=both.new.entity,
    )


def fit(both: SideBySide, kind: Kind) -> list[Transform]:
    """Fit the transform of each column on all shared products that are not in the sample.

    Memory is a batch and [d, d] sums, whatever the number of products.
    """
    columns = range(len(both.new.fields))
    moments: list[Moments] = []
    for batch in both.batches():
        fitted = batch.sampled < 0
        some = [Moments.of(batch.new[place][fitted], batch.old[place][fitted]) for place in columns]
        moments = [one + other for one, other in zip(moments, some, strict=True)] if moments else some
    if kind is Kind.AFFINE:
        return [fit_affine(column) for column in moments]
    return [fit_orthogonal(reduce(add, moments))] * len(moments)


def measure(model: Aligner, held_out: Batch, cosine: bool) -> dict[str, float]:
    """Measure what a reader of the old version finds with the vectors of the new one, on held-out products.

    If a version has two columns, vectors of the first search those of the second.

    Args:
        model: The transforms.
        held_out: The sample of held-out products.
        cosine: Whether vectors are compared by cosine, else by the dot product.

    Returns:
        `recall_at_10`: recall of the neighbours that old vectors have among old ones, if old vectors search aligned
        ones; `..._both_aligned` if aligned vectors do; `..._before` if old vectors search new ones without alignment.
        `same_mrr_at_10`: MRR of the product itself, searched by its old vector among aligned ones by cosine, mean of
        all columns; `..._before` among vectors without alignment. `relative_error`: |aligned - old|² by |old|².
        Figures `..._before` need equal dimensions.
    """
    aligned, old = apply(model, held_out.new), held_out.old
    error = sum(float(np.square(a - o).sum()) for a, o in zip(aligned, old, strict=True))
    neighbours = _neighbours(old[0], old[-1], cosine)
    figures = {
        "held_out": float(len(old[0])),
        "recall_at_10": recall(_neighbours(old[0], aligned[-1], cosine), neighbours),
        "recall_at_10_both_aligned": recall(_neighbours(aligned[0], aligned[-1], cosine), neighbours),
        "same_mrr_at_10": _same(old, aligned),
        "relative_error": error / max(sum(float(np.square(o).sum()) for o in old), 1e-30),
    }
    if held_out.new[0].shape[1] == old[0].shape[1]:
        figures["recall_at_10_before"] = recall(_neighbours(old[0], held_out.new[-1], cosine), neighbours)
        figures["same_mrr_at_10_before"] = _same(old, held_out.new)
    return figures


def apply(model: Aligner, columns: Sequence[Floats]) -> tuple[Floats, ...]:
    """Return the columns, float32 [n, a] each, in the other space, float32 [n, b] each."""
    with torch.no_grad():
        result = model(*map(torch.tensor, columns))
    return tuple(vectors.numpy() for vectors in (result if isinstance(result, tuple) else (result,)))


def _neighbours(queries: Floats, candidates: Floats, cosine: bool) -> Nearest:
    queries = queries[:MOST_QUERIES]
    scores = unit(queries) @ unit(candidates).T if cosine else queries @ candidates.T
    which = np.arange(len(candidates))
    sampled = np.where(which < len(queries), which, -1)
    return Nearest.none(len(queries), min(K, len(candidates) - 1)).among(scores, 0, sampled)


def _same(old: Sequence[Floats], new: Sequence[Floats]) -> float:
    ranks = [own_ranks(unit(o[:MOST_QUERIES]) @ unit(n).T) for o, n in zip(old, new, strict=True)]
    return float(np.mean([ranking_metrics(column).mrr_at_10 for column in ranks]))


def _transformed(both: SideBySide, model: Aligner, scratch: Path) -> tuple[list[str], Mapping[str, Floats]]:
    """Return keys and vectors of all products; the vectors are in files that vanish with the arrays."""
    vectors: dict[str, Floats] = {
        field: disk_matrix(scratch, both.new.rows, both.old.dimension) for field in both.new.fields
    }
    keys: list[str] = []
    for names, columns in both.new_vectors():
        rows = slice(len(keys), len(keys) + len(names))
        for array, aligned in zip(vectors.values(), apply(model, columns), strict=True):
            array[rows] = aligned
        keys += names
    return keys, vectors
