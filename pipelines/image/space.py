"""Declaration of the space `image`: vectors of product images (MERLIN 3.4)."""

from __future__ import annotations

from twinvec.spaces import Carry, Space

SPACE = Space(
    name="image",
    description="Encoder of product images; two products that are viewed together are close.",
    train="pipelines.image.pipeline:train",
    fields=("image_vector",),
    uses=("graph",),
    settings=("image",),
    revision=2,
    reason_to_skip="pipelines.image.reading:reason_to_skip",
    encoder="pipelines.cold_start.models:ImageEncoder",
    update=Carry("carry", "pipelines.update.content:carry_images"),
)
