"""Declaration of the space `text`: vectors of category and title (MERLIN 3.3)."""

from __future__ import annotations

from twinvec.spaces import Carry, Space

SPACE = Space(
    name="text",
    description="Sentence encoder of product titles and categories; two products that are viewed together are close.",
    train="pipelines.text.pipeline:train",
    fields=("text_vector",),
    uses=("graph",),
    settings=("text",),
    revision=2,
    reason_to_skip="pipelines.text.texts:reason_to_skip",
    encoder="pipelines.cold_start.models:TextEncoder",
    update=Carry("carry", "pipelines.update.content:carry_text"),
)
