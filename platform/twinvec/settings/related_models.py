"""Settings of the models of `related`, a group each, named as the model."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.group import Group


class PaperRecipe(Group):
    """MERLIN as published: content features, sums over neighbours, margin loss (3.6)."""

    margin: float = Field(1.0, gt=0, description="Margin of the loss (3.6.3).")
    negatives: int = Field(5, ge=1, description="Random negatives an edge; the paper's n_k, not given there.")
    pool: int = Field(
        2_000, ge=2, description="Products drawn a step for its edges to take their negatives from."
    )
    batch: int = Field(10_000, ge=1, description="Edges in a step (4.1.3: 10,000 source nodes).")
    epochs: int = Field(20, ge=1, description="At most (4.1.3).")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW (4.1.3).")


class DaemonRecipe(Group):
    """Dual embeddings with co-views within a role and a loss that knows direction (Amazon, ECML 2022)."""

    negatives: int = Field(512, ge=1, description="Random products that the edges of a step are set against.")
    asymmetry: float = Field(
        0.1,
        ge=0,
        description="Weight of the term that rewards one-way edges and penalises their reverses; 0 leaves it out.",
    )
    batch: int = Field(512, ge=1, description="Edges in a step.")
    epochs: int = Field(20, ge=1, description="At most.")
    learning_rate: float = Field(5e-3, gt=0, description="Of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Of AdamW.")


class SoftmaxRecipe(Group):
    """What is trained by a sampled softmax over each source's positives."""

    draws: int = Field(16, ge=1, description="Co-purchase targets drawn a source and epoch.")
    candidates: int = Field(
        8192,
        ge=2,
        description="Random products a step scores its sources against; all of a smaller catalogue.",
    )
    batch: int = Field(512, ge=1, description="Sources in a step.")
    epochs: int = Field(20, ge=1, description="At most.")
    learning_rate: float = Field(3e-3, gt=0, description="Of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Of AdamW.")


class GatRecipe(SoftmaxRecipe):
    """Attention over neighbours."""

    heads: int = Field(4, ge=1, description="Attention heads.")


class ProximitySettings(Group):
    """Personalised PageRank over the product graph, and its factors."""

    coview_weight: float | None = Field(
        None,
        ge=0,
        description="Weight of a co-view edge beside a co-purchase edge's 1; if not set, the best of 0, 0.25 and 1 for "
        "finding training edges that are hidden for it.",
    )
    restart: float = Field(0.15, gt=0, lt=1, description="Chance to return to the source at each step.")
    steps: int = Field(10, ge=1, description="Steps that are followed.")
    least: float = Field(1e-4, gt=0, description="Walks less probable than this are given up.")
    keep: int = Field(200, ge=1, description="Nearest products kept of each.")


class TwinvecRecipe(SoftmaxRecipe):
    """What was measured to help: proximity factors beside content, residual layers, softmax over near products."""

    proximity: ProximitySettings = Field(ProximitySettings(), description="What is near in the graph.")
    near: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of positives drawn by proximity; the others are co-purchase edges.",
    )
    factor_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of nodes trained without their factors, as new products have none.",
    )
    draws: int = Field(64, ge=1, description="Positives drawn a source and epoch.")
    averaging: float = Field(
        0.97,
        ge=0,
        lt=1,
        description="Share of the running average of the weights that a step leaves; the average is what is kept.",
    )
