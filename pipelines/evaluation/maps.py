"""Maps of products: t-SNE of a version's vectors, coloured by category."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipelines.evaluation.layout import map_of
from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.progress import Progress
from twinvec.vectors.maps import X, Y, roles_of
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float32]
# Largest number of products on a map: with more, single ones cannot be seen.
MOST = 3000
# Number of categories with a colour of their own; the others are grey.
COLOURS = 9
PRODUCTS = """
    SELECT coalesce(category[least($level, len(category))], '') AS category
    FROM products SEMI JOIN placed USING (product_id) ORDER BY product_id
"""


def draw_version(
    workspace: Workspace,
    version: Version,
    level: int = 1,
    progress: Progress = lambda _message: None,
    again: bool = False,
) -> Figure:
    """Draw the map of a version: one panel for each of its vectors. The map is made if there is none yet.

    Args:
        workspace: The stores.
        version: Version of any space of products.
        level: Level of the categories that give the colours, from 1.
        progress: Called with messages.
        again: Whether a map that is there is made anew.
    """
    placed = map_of(workspace, version, progress, again)
    with open_snapshot(Path(version.snapshot.path)).connect(
        workspace.settings.ingest.memory_limit
    ) as connection:
        connection.register("placed", placed.select(["product_id"]))
        categories = connection.sql(PRODUCTS, params={"level": level}).to_arrow_table()["category"]
    chosen = np.random.default_rng(workspace.settings.seed).permutation(placed.num_rows)[:MOST]
    panels = {
        role: np.column_stack([placed[role + end].to_numpy()[chosen] for end in (X, Y)])
        for role in roles_of(placed)
    }
    return draw(version.name, panels, categories.take(chosen).to_numpy().astype(np.str_))


def draw(title: str, panels: Mapping[str, FloatArray], categories: npt.NDArray[np.str_]) -> Figure:
    """Draw one map for each kind of vector, places [n, 2]; `categories` is the category of each product, [n]."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(panels), 6.5), layout="constrained")
    figure.suptitle(f"{title}: {len(categories):,} products")
    names, counts = np.unique(categories, return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][:COLOURS]
    for axes, (name, positions) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        axes.scatter(*positions[~np.isin(categories, shown)].T, s=3, color="lightgrey")
        for colour, category in zip(colormaps["tab10"].colors, shown, strict=False):  # type: ignore[attr-defined]
            axes.scatter(
                *positions[categories == category].T, s=3, color=colour, label=category or "no category"
            )
        axes.set(title=name, xticks=[], yticks=[])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, markerscale=4, frameon=False)
    return figure
