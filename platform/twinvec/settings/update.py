"""Settings of `twinvec update`: when models are too old to go on with."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.group import Group


class UpdateSettings(Group):
    """Limits beyond which `twinvec update`, which trains nothing, advises to train again."""

    max_untrained: float = Field(
        0.2, ge=0, le=1, description="Largest share of products that appeared after the models were trained."
    )
    max_new_pairs: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Largest share of co-purchase and co-view pairs that appeared after training.",
    )
    max_age_days: float = Field(
        90.0, ge=0, description="Largest number of days since the models were trained."
    )
    max_mrr_drop: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Largest share of the MRR@10 at training that may be lost on held-out edges observed since.",
    )
    min_edges: int = Field(
        200,
        ge=1,
        description="Least number of such edges for advice. With fewer, their MRR@10 is shown only.",
    )
