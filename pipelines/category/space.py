"""Declaration of the space `category`: vectors of categories by their associations (MERLIN 3.2)."""

from __future__ import annotations

from twinvec.spaces import CATEGORIES, KEEP, Space

SPACE = Space(
    name="category",
    description="Vectors of categories; the cosine of two says how often they are bought together.",
    train="pipelines.category.pipeline:train",
    fields=("category_vector",),
    entity=CATEGORIES,
    settings=("category",),
    reason_to_skip="pipelines.category.npmi:reason_to_skip",
    update=KEEP,
)
