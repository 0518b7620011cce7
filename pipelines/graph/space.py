"""Declaration of the space `graph`: the directed product graph (MERLIN 3.1), which has edges and no vectors."""

from __future__ import annotations

from twinvec.spaces import REMAKE, Space

SPACE = Space(
    name="graph",
    description="Graph of products that are bought or viewed together; no model.",
    train="pipelines.graph.pipeline:train",
    uses=("category",),
    settings=("graph", "category"),
    revision=2,
    update=REMAKE,
)
