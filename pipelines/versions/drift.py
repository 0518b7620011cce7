"""Drift between two versions of a space: norms, similarities, neighbours, products and content.

Feast's monitoring does not cover it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.text.texts import count_texts
from pipelines.versions.distributions import Shift, norms, pair_similarities
from pipelines.versions.pairing import SideBySide, side_by_side
from pipelines.versions.retrieval import Doubles, Floats, Nearest, jaccard, unit
from registry.models import Version
from twinvec.catalogue.snapshot import open_snapshot
from twinvec.columns import PRODUCT_ID
from twinvec.errors import StateError
from twinvec.tracking import flatten, log_change
from twinvec.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 10_000
PAIRS = 20_000
QUERIES = 500
K = 10


@dataclass(frozen=True)
class Content:
    """Content in the snapshot of a version.

    Attributes:
        snapshot: Id of the snapshot.
        products: Number of its products.
        without_text, without_image: Share of products that have neither title nor category, or no image.
        without_vector: Share of products without a vector in the version; None if its keys are not products.
    """

    snapshot: str
    products: int
    without_text: float
    without_image: float
    without_vector: float | None


@dataclass(frozen=True)
class Drift:
    """Changes from an old version to a new one.

    Attributes:
        new, old: Names of the versions.
        shared, added, gone: Number of keys in both, in the new version only, in the old one only.
        content: `new` and `old` → content of the snapshot.
        norms: Vector column → lengths of the vectors of up to 10,000 keys a version.
        similarities: Similarities of 20,000 random pairs of these, by the old version's metric; source by target for
            versions with two columns.
        overlap_at_10: Mean Jaccard index of the ten nearest neighbours among all shared keys, by exact search, of up
            to 500 shared keys; None if there are fewer than two.
        run: Id of the MLflow run that has the figures and plots.
    """

    new: str
    old: str
    shared: int
    added: int
    gone: int
    content: dict[str, Content]
    norms: dict[str, Shift]
    similarities: Shift
    overlap_at_10: float | None
    run: str


def drift(workspace: Workspace, new: Version, old: Version, progress: Callable[[str], None]) -> Drift:
    """Compare two versions with the same vector columns, and log the changes to MLflow.

    Raises:
        StateError: If their columns differ, or one has fewer than two vectors.
    """
    seed = workspace.settings.seed
    with side_by_side(workspace.settings, new, old) as both:
        for version in (new, old):
            if (version.rows or 0) < 2:
                raise StateError(
                    f"{version.name} has {version.rows} vectors", "name one that has two at least"
                )
        counts = both.counts()
        progress("comparing norms and similarities")
        drawn = [both.drawn(which, DRAWN, seed) for which in ("new", "old")]
        lengths = {
            field: tuple(norms(columns[place]) for columns in drawn)
            for place, field in enumerate(both.new.fields)
        }
        cosine = both.old.metric == "cosine"
        similar = [pair_similarities(each[0], each[-1], PAIRS, cosine, seed) for each in drawn]
        progress(f"comparing neighbours among {counts.shared:,} shared products")
        overlaps = overlap(both, min(QUERIES, counts.shared), min(K, counts.shared - 1), cosine, seed)
    content = {
        "new": _content(workspace, new, both.new.entity),
        "old": _content(workspace, old, both.old.entity),
    }
    result = Drift(
        new=new.name,
        old=old.name,
        shared=counts.shared,
        added=counts.added,
        gone=counts.gone,
        content=content,
        norms={field: Shift.between(*pair) for field, pair in lengths.items()},
        similarities=Shift.between(similar[0], similar[1]),
        overlap_at_10=float(overlaps.mean()) if len(overlaps) else None,
        run="",
    )
    panels = {f"norms of {field}": pair for field, pair in lengths.items()}
    figure = _draw(
        new.name, old.name, panels | {"similarities of random pairs": (similar[0], similar[1])}, overlaps
    )
    numbers = {
        name: value for name, value in flatten(asdict(result)).items() if isinstance(value, int | float)
    }
    run = log_change(workspace.settings, f"{new.name} from {old.name}", (new, old), numbers, figure)
    return replace(result, run=run)


def overlap(both: SideBySide, queries: int, k: int, cosine: bool, seed: int) -> Doubles:
    """Return the Jaccard index of the k nearest neighbours in either version, float64 [queries]; empty if k < 1.

    Neighbours are among all shared keys. One pass over the files; memory is a batch by the queries.
    """
    if k < 1:
        return np.zeros(0)
    sample = both.sample(queries, seed)

    def scores(queried: tuple[Floats, ...], batch: tuple[Floats, ...]) -> Floats:
        return unit(queried[0]) @ unit(batch[-1]).T if cosine else queried[0] @ batch[-1].T

    new = old = Nearest.none(queries, k)
    seen = 0
    for batch in both.batches():
        new = new.among(scores(sample.new, batch.new), seen, batch.sampled)
        old = old.among(scores(sample.old, batch.old), seen, batch.sampled)
        seen += len(batch.sampled)
    return jaccard(new, old)


def _content(workspace: Workspace, version: Version, entity: str) -> Content:
    snapshot = open_snapshot(Path(version.snapshot.path))
    products = snapshot.tables["products"]
    with snapshot.connect(workspace.settings.ingest.memory_limit) as connection:
        without_image = connection.sql("SELECT count(*) FROM products WHERE image IS NULL").fetchall()[0][0]
    return Content(
        snapshot.id,
        products,
        1 - count_texts(snapshot) / products,
        without_image / products,
        1 - (version.rows or 0) / products if entity == PRODUCT_ID else None,
    )


def _draw(new: str, old: str, panels: dict[str, tuple[Doubles, ...]], overlaps: Doubles) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.5 * (len(panels) + 1)), layout="constrained")
    *others, last = figure.subplots(len(panels) + 1, squeeze=False)[:, 0]
    for axes, (title, pair) in zip(others, panels.items(), strict=True):
        edges = np.histogram_bin_edges(np.concatenate(pair), 50)
        for values, name in zip(pair, (new, old), strict=True):
            axes.hist(values, edges, density=True, histtype="step", label=name)
        axes.set(title=title)
        axes.legend()
    last.hist(overlaps, np.linspace(0, 1, 21))
    last.set(title=f"overlap of the nearest {K}, {len(overlaps)} shared products")
    return figure
