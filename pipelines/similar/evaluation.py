"""Quality on held-out families: of all listings, and by language pair, store, and what a listing lacks (5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.similar.listings import Ints, Labels
from twinvec.metrics.graded import Graded, Groups, best_threshold
from twinvec.metrics.ranking import MOST_RANKED
from twinvec.settings.similar import SimilarSettings

Flags = npt.NDArray[np.bool_]
LEAST = 20
"""Queries of a slice that is reported."""


@dataclass(frozen=True)
class Division:
    """Rows of the listings of groups that are trained on, validated and tested; int64 each.

    Those that are validated or tested are at most `MOST_RANKED` each; held-out groups beyond that are not read.
    """

    training: Ints
    validation: Ints
    test: Ints


def divide(labels: Labels, options: SimilarSettings) -> Division:
    """Divide the listings by family, or by product; a group's side depends on its id and the seed alone."""
    share = labels.share[options.held_out]
    tested = share < options.test
    validated = ~tested & (share < options.test + options.validation)
    training, *held_out = (np.flatnonzero(each) for each in (~tested & ~validated, validated, tested))
    return Division(training, *(_at_most(rows, share, MOST_RANKED) for rows in held_out))


def _at_most(rows: Ints, share: npt.NDArray[np.float64], limit: int) -> Ints:
    """Return rows of whole groups, those of the lowest shares, at most `limit`; rankings take their square in time."""
    if len(rows) <= limit:
        return rows
    bound = np.partition(share[rows], limit)[limit]
    kept: Ints = rows[share[rows] < bound]
    return kept


def figures(graded: Graded, k: int) -> dict[str, float]:
    """Return the means over all queries that have something to find; none if there are no such queries."""
    values = {
        f"recall_at_{k}": graded.recall,
        f"ndcg_at_{k}": graded.ndcg,
        f"exact_recall_at_{k}": graded.exact_recall,
    }
    queries = int((graded.relateds > 0).sum())
    found = {name: float(np.nanmean(each)) for name, each in values.items() if np.isfinite(each).any()}
    return found | {"queries": float(queries)}


def thresholds(graded: Graded) -> dict[str, float]:
    """Return the cosines from which on two listings count as one product, and as substitutes; by F1."""
    cosines = {}
    for name, true, total in (
        ("exact_from", graded.exact, graded.exacts),
        ("substitute_from", graded.related, graded.relateds),
    ):
        if true.any():
            cosines[name] = best_threshold(graded.scores, true, int(np.minimum(total, true.shape[1]).sum()))
    return cosines


def slices(graded: Graded, labels: Labels, rows: Ints, has_image: Flags, k: int) -> dict[str, float]:
    """Return recall and nDCG by store and by what a listing lacks, and recall by pair of languages.

    The recall of a pair of languages is that of the family's listings in the second language, for queries in the first.
    """
    store, stores = _codes(labels.marketplace, rows)
    language, languages = _codes(labels.language, rows)
    masks: dict[str, Flags] = {f"store_{name}": store == code for code, name in enumerate(stores)}
    masks |= {"without_image": ~has_image, "without_attributes": labels.bare[rows]}
    found: dict[str, float] = {}
    for name, mask in masks.items():
        chosen = mask & (graded.relateds > 0)
        if chosen.sum() >= LEAST:
            found[f"recall_at_{k}_{name}"] = float(graded.recall[chosen].mean())
            found[f"ndcg_at_{k}_{name}"] = float(graded.ndcg[chosen].mean())
    family = labels.levels["family"][rows]
    for code, name in enumerate(languages):
        in_language = language[graded.top] == code
        hits = (graded.related & in_language).sum(1)
        there = _others(family, language, code)
        share = np.where(there > 0, hits / np.maximum(np.minimum(there, k), 1), np.nan)
        for other, asked in enumerate(languages):
            chosen = (language == other) & (there > 0)
            if chosen.sum() >= LEAST:
                found[f"recall_at_{k}_{asked}_to_{name}"] = float(share[chosen].mean())
    return found


def _others(family: Groups, language: Ints, code: int) -> Ints:
    """Return the number of other listings of each listing's family in one language."""
    _, place = np.unique(family, return_inverse=True)
    counts = np.bincount(place[language == code], minlength=int(place.max(initial=-1)) + 1)
    others: Ints = (counts[place] - (language == code)).astype(np.int64)
    return others


def _codes(values: pa.DictionaryArray, rows: Ints) -> tuple[Ints, list[str]]:
    indices = values.indices.to_numpy()[rows].astype(np.int64)
    return indices, values.dictionary.to_pylist()
