"""Declaration of the space `similar`: listings of the same product, and of its substitutes, near each other."""

from __future__ import annotations

from twinvec.spaces import LISTINGS, Carry, Field, Serving, Space

VECTOR = Field("similar", "similar_vector")
SPACE = Space(
    name="similar",
    description="Encoder of listings by text and image: the same product and its substitutes are close.",
    train="pipelines.similar.pipeline:train",
    fields=(VECTOR.name,),
    entity=LISTINGS,
    settings=("similar",),
    tables=("products", "listings"),
    derived=("listings",),
    reason_to_skip="pipelines.similar.listings:reason_to_skip",
    update=Carry("carry", "pipelines.similar.update:carry_similar"),
    serving=Serving(
        name="similar_products",
        asks=VECTOR,
        searched=VECTOR,
        every_product=False,
        judge="pipelines.similar.judging:compare",
        cold_start="pipelines.similar.serving:NewListings",
        aliases=("similar_products_live", "similar_products_previous"),
    ),
    transfer="pipelines.transfer.pipeline:transfer",
)
