"""Maps of products: t-SNE of a version's vectors, coloured by category."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sklearn.manifold import TSNE

from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.features.reading import read_vectors
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float32]
# Largest number of products on a map: with more, single ones cannot be seen.
MOST = 3000
# Number of categories with a colour of their own; the others are grey.
COLOURS = 9
PRODUCTS = """
    SELECT product_id, coalesce(category[least($level, len(category))], '') AS category
    FROM products ORDER BY product_id
"""


def draw_version(workspace: Workspace, version: Version, level: int = 1) -> Figure:
    """Draw the map of a version: one panel for each of its vectors.

    Args:
        workspace: The stores.
        version: Version of any space of products.
        level: Level of the categories that give the colours, from 1.
    """
    with open_snapshot(Path(version.snapshot.path)).connect(
        workspace.settings.ingest.memory_limit
    ) as connection:
        products = connection.sql(PRODUCTS, params={"level": level}).to_arrow_table()
    read = read_vectors(workspace.features, version, products["product_id"].to_pylist())
    present = np.flatnonzero(read.present)
    chosen = np.random.default_rng(workspace.settings.seed).permutation(present)[:MOST]
    categories = products["category"].take(chosen).to_numpy().astype(np.str_)
    panels = {name.removesuffix("_vector"): vectors[chosen] for name, vectors in read.fields.items()}
    return draw(version.name, panels, categories, workspace.settings.seed)


def draw(title: str, panels: Mapping[str, FloatArray], categories: npt.NDArray[np.str_], seed: int) -> Figure:
    """Draw one map for each kind of vector, [n, d] each; `categories` is the category of each product, [n]."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(panels), 6.5), layout="constrained")
    figure.suptitle(f"{title}: {len(categories):,} products")
    names, counts = np.unique(categories, return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][:COLOURS]
    varying = np.logical_and.reduce([vectors.std(axis=0) > 0 for vectors in panels.values()])
    for axes, (name, vectors) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        positions = lay_out(vectors[:, varying], seed)
        axes.scatter(*positions[~np.isin(categories, shown)].T, s=3, color="lightgrey")
        for colour, category in zip(colormaps["tab10"].colors, shown, strict=False):  # type: ignore[attr-defined]
            axes.scatter(
                *positions[categories == category].T, s=3, color=colour, label=category or "no category"
            )
        axes.set(title=name, xticks=[], yticks=[])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, markerscale=4, frameon=False)
    return figure


def lay_out(vectors: FloatArray, seed: int) -> FloatArray:
    """Return positions on a plane, float32 [n, 2], by t-SNE of the angles between vectors [n, d]."""
    perplexity = min(30, (len(vectors) - 1) / 3)
    positions: FloatArray = TSNE(
        metric="cosine", init="random", perplexity=perplexity, random_state=seed
    ).fit_transform(vectors - vectors.mean(axis=0))
    return positions
