"""Declaration of the space `ranking`: lists of related products in the order of a learned ranker."""

from __future__ import annotations

from twinvec.spaces import Carry, Listing, Space, Worth

SPACE = Space(
    name="ranking",
    description="Ranker of related products: boosted trees over graph and content.",
    train="pipelines.ranking.pipeline:train",
    columns=("related_ids", "related_scores"),
    listing=Listing(
        of="related",
        required="ranking.required",
        judge="pipelines.ranking.judging:compare",
        explain="pipelines.ranking.explaining:Explainer",
    ),
    needs=("graph", "related"),
    uses=("text", "aligned"),
    settings=("ranking",),
    revision=3,
    update=Carry(
        "carry", "pipelines.update.ranking:carry_ranking", reads=("graph", "related", "text", "aligned")
    ),
    worth=Worth("MRR@10 of held-out edges", "vectors_mrr_at_10", "mrr_at_10"),
)
