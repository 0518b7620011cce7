"""Declaration of the space `related`: a source and a target vector a product (MERLIN 3.6), served."""

from __future__ import annotations

from twinvec.spaces import Carry, Field, Serving, Space

SPACE = Space(
    name="related",
    description="Encoder of the product graph: a source and a target vector of each product, compared by dot.",
    train="pipelines.related.pipeline:train",
    fields=("source_vector", "target_vector"),
    needs=("graph",),
    uses=("aligned",),
    settings=("related",),
    revision=2,
    update=Carry("carry", "pipelines.update.related:carry_related", reads=("graph", "aligned")),
    serving=Serving(
        name="related_products",
        setting="release",
        asks=Field("related", "source_vector"),
        searched=Field("related", "target_vector"),
        judge="pipelines.related.held_out:compare",
        cold_start="pipelines.cold_start.service:ColdStart",
        evaluate="pipelines.evaluation.served:evaluate_edges",
    ),
)
