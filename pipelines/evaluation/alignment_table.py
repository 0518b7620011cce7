"""What alignment over co-views adds to the content that related products are found by (MERLIN 4.2.4, Table 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipelines.evaluation.contenders import Fit, read_ground, scores_of
from pipelines.evaluation.related_table import Row, rank_each
from pipelines.evaluation.rows import require_rows
from twinvec.catalogue.snapshot import Snapshot
from twinvec.workspace import Workspace

ALIGNED = "aligned"
# Row → the spaces whose vectors are given side by side.
CONTENTS: Mapping[str, tuple[str, ...]] = {
    "no content": (),
    "text": ("text",),
    "image": ("image",),
    "text and image": ("text", "image"),
}
ROWS = (*CONTENTS, ALIGNED)


def compare(
    workspace: Workspace,
    snapshot: Snapshot,
    progress: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Row]:
    """Fit the model of `related.recipe` on one kind of content after another; as `related_table.compare` otherwise.

    Raises:
        SettingsError: if there is no such row.
        CatalogueError: if the snapshot has no held-out edges.
    """
    require_rows(names, ROWS)
    ground = read_ground(workspace, snapshot, progress)
    settings = workspace.settings
    recipe = settings.related.recipe
    fits: dict[str, Fit] = {}
    for name, spaces in CONTENTS.items():
        if set(spaces) <= set(ground.content):
            features = side_by_side([ground.content[space] for space in spaces], ground.graph.products)
            given = replace(ground, features=features)
            fits[name] = partial(scores_of, given, recipe, settings)
    fits[ALIGNED] = partial(scores_of, ground, recipe, settings)
    return rank_each("alignment", fits, ground.graph, workspace, snapshot, progress, names)


def side_by_side(parts: Sequence[npt.NDArray[np.float32]], products: int) -> Tensor:
    """Vectors of each product and whether each of them is there, float32 [products, Σ (d + 1)].

    Args:
        parts: [products, d] each; rows of zeros where there is none.
        products: how many there are; without parts, they all have the one feature zero.
    """
    if not parts:
        return torch.zeros(products, 1)
    there = [part.any(axis=1, keepdims=True).astype(np.float32) for part in parts]
    columns = [column for pair in zip(parts, there, strict=True) for column in pair]
    return torch.from_numpy(np.concatenate(columns, axis=1))
