"""Settings of updates: when the models that they use are too old."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.stores import Group


class UpdateSettings(Group):
    """From when on `twinvec update`, which trains nothing, advises to train."""

    max_untrained: float = Field(
        0.2, ge=0, le=1, description="Share of products that were not there when the models were trained."
    )
    max_new_pairs: float = Field(
        0.3, ge=0, le=1, description="Share of pairs bought or viewed together that were observed since."
    )
    max_age_days: float = Field(90.0, ge=0, description="Days since the models were trained.")
    max_mrr_drop: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of the MRR@10 at training that may be lost on held-out edges observed since.",
    )
    min_edges: int = Field(
        200,
        ge=1,
        description="With fewer such edges than this, their MRR@10 is shown and no ground for advice.",
    )
