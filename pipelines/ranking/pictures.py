"""Pictures of a ranker for its MLflow run: the features' shares in the gain, and their contributions to scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pipelines.ranking.sparse import FloatArray

SHOWN = 20
SPREAD = 0.35


def draw_importances(importances: Mapping[str, float]) -> Figure:
    """Return a bar for each of the most important features, the largest on top."""
    names = list(importances)[:SHOWN][::-1]
    figure = Figure(figsize=(7, 0.28 * len(names) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [importances[name] for name in names], color="#4477aa")
    axes.set(title="Share of the gain", xlabel="share")
    return figure


def draw_contributions(names: tuple[str, ...], features: FloatArray, contributions: FloatArray) -> Figure:
    """Return a summary of SHAP values: a dot for each pair and feature, coloured by the feature's rank among the pairs.

    Args:
        names: Names of the features.
        features: float32 [pairs, features].
        contributions: What each feature adds to the pair's score, float32 [pairs, features].
    """
    largest = np.argsort(-np.abs(contributions).mean(0), kind="stable")[:SHOWN][::-1]
    figure = Figure(figsize=(7, 0.28 * len(largest) + 1), layout="constrained")
    axes = figure.subplots()
    # The same places at every call, so that the same ranker has the same picture.
    height = np.random.default_rng(0).uniform(-SPREAD, SPREAD, len(features))
    dots = None
    for place, feature in enumerate(largest):
        value = features[:, feature]
        order = np.argsort(np.argsort(value, kind="stable"), kind="stable") / max(len(value) - 1, 1)
        colour = np.where(np.isnan(value), np.nan, order)
        dots = axes.scatter(
            contributions[:, feature],
            place + height,
            c=colour,
            cmap="coolwarm",
            s=4,
            linewidths=0,
            vmin=0,
            vmax=1,
        )
    axes.set_yticks(range(len(largest)), [names[feature] for feature in largest])
    axes.axvline(0, color="grey", linewidth=0.5)
    axes.set(title="Contribution to the score (SHAP value)", xlabel="contribution")
    if dots is not None:
        figure.colorbar(dots, ax=axes, label="value of the feature: low to high", ticks=[])
    return figure
