"""Declaration of the space `aligned`: text and image brought together over co-views (MERLIN 3.5)."""

from __future__ import annotations

from twinvec.spaces import Carry, Space, Worth

SPACE = Space(
    name="aligned",
    description="Encoder of text and image vectors into one space, with the means over co-viewed products.",
    train="pipelines.alignment.pipeline:train",
    fields=("aligned_vector",),
    needs=("graph",),
    needs_one_of=("text", "image"),
    uses=("text", "image"),
    settings=("aligned",),
    revision=2,
    update=Carry("carry", "pipelines.update.aligned:carry_aligned", reads=("graph", "text", "image")),
    worth=Worth("MRR@10 of held-out co-views", "untrained_mrr_at_10", "validation_mrr_at_10"),
)
