"""Settings of the models of related products, one group each."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.group import Group


class MerlinSettings(Group):
    """MERLIN as published, `[related.paper]`: content features, sums over neighbours, margin loss (3.6)."""

    margin: float = Field(1.0, gt=0, description="Margin of the loss (3.6.3).")
    negatives: int = Field(
        5, ge=1, description="Random negatives an edge: n_k of the paper, which gives no value."
    )
    pool: int = Field(
        2_000, ge=2, description="Products drawn a step, from which its edges take their negatives."
    )
    batch: int = Field(10_000, ge=1, description="Edges in a step (4.1.3: 10,000 source nodes).")
    epochs: int = Field(20, ge=1, description="Maximum number of epochs (4.1.3).")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of AdamW (4.1.3).")


class DaemonSettings(Group):
    """DAEMON: dual embeddings with co-views within a role, and a directed loss (Amazon, ECML 2022)."""

    negatives: int = Field(512, ge=1, description="Random products a step, negatives of all its edges.")
    asymmetry: float = Field(
        0.1,
        ge=0,
        description="Weight of the term that rewards one-way edges and penalises their reverses; 0 leaves it out.",
    )
    batch: int = Field(512, ge=1, description="Edges in a step.")
    epochs: int = Field(20, ge=1, description="Maximum number of epochs.")
    learning_rate: float = Field(5e-3, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")


class SoftmaxSettings(Group):
    """Settings of a model trained by a sampled softmax over each source's positives."""

    draws: int = Field(16, ge=1, description="Co-purchase targets drawn a source and epoch.")
    candidates: int = Field(
        8192,
        ge=2,
        description="Random products against which a step scores its sources; all products of a smaller catalogue.",
    )
    batch: int = Field(512, ge=1, description="Sources in a step.")
    epochs: int = Field(20, ge=1, description="Maximum number of epochs.")
    learning_rate: float = Field(3e-3, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")


class GatSettings(SoftmaxSettings):
    """Graph attention."""

    heads: int = Field(4, ge=1, description="Number of attention heads.")


class ProximitySettings(Group):
    """Personalised PageRank over the product graph, and its factors."""

    coview_weight: float | None = Field(
        None,
        ge=0,
        description="Weight of a co-view edge; a co-purchase edge weighs 1. If not set, the one of 0, 0.25 and 1 that "
        "ranks hidden training edges best.",
    )
    restart: float = Field(
        0.3, gt=0, lt=1, description="Probability of returning to the source at each step."
    )
    steps: int = Field(8, ge=1, description="Number of steps.")
    least: float = Field(2e-4, gt=0, description="Walks less probable than this are dropped.")
    keep: int = Field(100, ge=1, description="Nearest products kept for each product.")
    ease: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of EASE in the proximity, for at most 20,000 products. If not set, the one of 0 and 0.5 "
        "that ranks hidden training edges best.",
    )


class TwinvecSettings(Group):
    """Twinvec's own model: proximity factors beside content, means of the neighbours, softmax over near products."""

    proximity: ProximitySettings = Field(ProximitySettings(), description="Proximity in the graph.")
    near: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of the distribution to learn that is proximity; the rest is co-purchase edges.",
    )
    hidden: int = Field(256, ge=1, description="Length of the hidden layer.")
    factor_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of nodes trained without their factors, because new products have none.",
    )
    candidates: int = Field(
        2048,
        ge=2,
        description="Random products against which a step scores its sources, beside one near product of each; all "
        "products of a smaller catalogue.",
    )
    batch: int = Field(1024, ge=1, description="Sources in a step, at most. An epoch has at least 16 steps.")
    epochs: int = Field(30, ge=1, description="Maximum number of epochs.")
    steps: int = Field(
        1_000,
        ge=1,
        description="Maximum number of steps, in whole epochs: a large catalogue has fewer epochs.",
    )
    learning_rate: float = Field(3e-3, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    averaging: float = Field(
        0.97,
        ge=0,
        lt=1,
        description="Share of the weights' running average that remains after a step. The model keeps the average.",
    )
