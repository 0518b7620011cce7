"""Lists as a version: a table for Feast, and files that are answered from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.ranking.catalogue import Catalogue
from pipelines.ranking.listing import Ranked
from pipelines.ranking.ranker import Ranker
from pipelines.ranking.space import SPACE
from twinvec import digest
from twinvec.stage import Outcome
from twinvec.vectors.lists import NONE, Lists, write_lists

IDS, SCORES = SPACE.columns
NO_RANKER = "order of vectors"
# Files in the folder of a version: the lists of the sources of test edges, by a ranker that has not seen these edges,
# and the marks by which an update tells which lists are still the same.
TESTED_LISTS, MARKS = "tested_lists.npz", "marks.npy"
# The ranker for products without edges, as text; there is none where the order of the vectors is as good.
COLD_RANKER = "cold_ranker.txt"


def outcome_of(
    catalogue: Catalogue,
    marketplaces: pa.DictionaryArray,
    ranked: Ranked,
    metrics: Mapping[str, float],
    model: str,
    log_model: Callable[[], str] | None,
    tested: Ranked | None = None,
    cold: Ranker | None = None,
) -> Outcome:
    """Return the outcome of the stage.

    Args:
        catalogue: Graph and settings.
        marketplaces: Marketplace of each product, dictionary of strings [n].
        ranked: Lists of all products, in the order of the graph.
        metrics: Figures.
        model: Digest of the ranker.
        log_model: Logs the ranker; None without one.
        tested: Lists that the ranker was tested with.
        cold: Ranker for products without edges.
    """
    ids = catalogue.graph.product_ids.cast(pa.string())
    lists = Lists(ids, marketplaces, ranked.targets, ranked.scores)

    def write(folder: Path) -> None:
        write_lists(folder, lists)
        np.save(folder / MARKS, ranked.marks)
        if cold is not None:
            (folder / COLD_RANKER).write_text(cold.booster.model_to_string(), encoding="utf-8")
        if tested is not None:
            np.savez(
                folder / TESTED_LISTS,
                sources=tested.sources,
                targets=tested.targets,
                scores=tested.scores,
                marks=tested.marks,
            )

    return Outcome(
        keys=ids,
        vectors={},
        metric="dot",
        normalised=False,
        model=model,
        preprocessing=digest.of_json(catalogue.options.deciding_lists()),
        metrics=metrics,
        log_model=log_model,
        write=write,
        columns=as_columns(lists),
    )


def as_columns(lists: Lists) -> dict[str, pa.Array]:
    """Return lists as the columns of a table: ids of the related products, best first, and their scores."""
    listed = lists.targets != NONE
    offsets = pa.array(np.r_[0, np.cumsum(listed.sum(1))].astype(np.int32))
    ids = lists.product_ids.take(pa.array(lists.targets[listed]))
    return {
        IDS: pa.ListArray.from_arrays(offsets, ids),
        SCORES: pa.ListArray.from_arrays(offsets, pa.array(lists.scores[listed])),
    }
