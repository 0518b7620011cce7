"""Settings of the models of `related` that others have published; a group each, named as the model."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.stores import Group


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
    """A graph layer of the field, trained by a sampled softmax over co-purchase edges."""

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
