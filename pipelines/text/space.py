"""Declaration of the space `text`: vectors of category and title (MERLIN 3.3)."""

from __future__ import annotations

from twinvec.spaces import Carry, Space, Worth

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
    worth=Worth(
        "MRR@10 of held-out co-views",
        "untrained_mrr_at_10",
        "validation_mrr_at_10",
        "MRR@10 of related products .278 without content, .290 with text, on Amazon Digital Music",
    ),
)
