"""The ranker: boosted trees that order the candidates of a source (LambdaMART, by LightGBM).

LambdaMART is described by Burges (2010), "From RankNet to LambdaRank to LambdaMART", section 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np

from pipelines.ranking.sparse import FloatArray, IntArray

if TYPE_CHECKING:
    from twinvec.settings import RankingSettings


@dataclass(frozen=True)
class Examples:
    """Candidates of some queries; a query is a source with hidden edges.

    Attributes:
        names: Names of the features.
        features: float32 [pairs, features].
        hidden: 1 where the pair is a hidden edge, float32 [pairs].
        counts: Number of pairs of each query, int64 [queries].
    """

    names: tuple[str, ...]
    features: FloatArray
    hidden: FloatArray
    counts: IntArray

    def with_hidden_edges(self) -> Examples:
        """Return the queries with a hidden edge among their candidates; the others have nothing to teach."""
        query = np.repeat(np.arange(len(self.counts)), self.counts)
        useful = np.bincount(query, weights=self.hidden, minlength=len(self.counts)) > 0
        pairs = useful[query]
        return Examples(self.names, self.features[pairs], self.hidden[pairs], self.counts[useful])

    @classmethod
    def together(cls, parts: Sequence[Examples]) -> Examples:
        """Return all queries of some examples with the same features."""
        return cls(
            parts[0].names,
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.hidden for part in parts]),
            np.concatenate([part.counts for part in parts]),
        )


@dataclass(frozen=True)
class Ranker:
    """A trained ranker."""

    booster: lightgbm.Booster

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of the columns."""
        return tuple(self.booster.feature_name())

    def columns(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Return features by name as the columns that the ranker reads, float32 [pairs, features].

        A feature that is not there is unknown, NaN in every row: the trees were trained with such rows.
        """
        pairs = len(next(iter(values.values())))
        unknown = np.full(pairs, np.nan, np.float32)
        return np.stack([values.get(name, unknown) for name in self.names], axis=1)

    def score(self, features: FloatArray, threads: int = 0) -> FloatArray:
        """Return the score of each pair, float32 [pairs]; higher is more related, within one source."""
        if not len(features):
            return np.zeros(0, np.float32)
        return np.asarray(self.booster.predict(features, num_threads=threads), np.float32)

    def contributions(self, features: FloatArray, threads: int = 0) -> FloatArray:
        """Return what each feature adds to the score of each pair, its SHAP value, float32 [pairs, features].

        The last column of LightGBM, the mean score, is left out: it is the same for all pairs.
        """
        if not len(features):
            return np.zeros((0, len(self.names)), np.float32)
        values = self.booster.predict(features, pred_contrib=True, num_threads=threads)
        return np.asarray(values, np.float32)[:, :-1]

    def importances(self) -> dict[str, float]:
        """Return the share of each feature in the gain of all splits, the largest first."""
        gain = self.booster.feature_importance("gain")
        share = gain / max(gain.sum(), 1e-12)
        return {self.names[place]: float(share[place]) for place in np.argsort(-share, kind="stable")}

    @property
    def digest(self) -> str:
        """Digest of the trees, 16 hexadecimal digits."""
        return digest_of_trees(self.booster)


def digest_of_trees(booster: lightgbm.Booster) -> str:
    """Return a digest of a booster's trees, 16 hexadecimal digits, without the parameters that it was trained by."""
    trees = booster.model_to_string().partition("\nparameters:")[0]
    return hashlib.sha256(trees.encode()).hexdigest()[:16]


def fit(examples: Examples, options: RankingSettings, seed: int) -> Ranker:
    """Train a ranker; the same examples give the same trees, on any number of threads.

    Args:
        examples: Queries with hidden edges.
        options: Settings of the trees.
        seed: Seed of the draws of features and queries.
    """
    parameters: dict[str, Any] = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": options.truncation,
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": options.min_pairs,
        "feature_fraction": options.feature_share,
        "bagging_fraction": options.pair_share,
        "bagging_freq": 1,
        "lambda_l2": options.l2,
        "max_bin": options.bins,
        "num_threads": options.threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    data = lightgbm.Dataset(
        examples.features,
        examples.hidden,
        group=examples.counts,
        feature_name=list(examples.names),
        free_raw_data=True,
    )
    return Ranker(lightgbm.train(parameters, data, options.trees))
