"""Settings of the gates that a release passes before it is promoted."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.group import Group


class GateSettings(Group):
    """Bounds on how much worse than the live release, or different from it, a release may be without `--force`."""

    max_mrr_drop: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Largest share of the live release's MRR@10 on held-out edges that may be lost.",
    )
    max_hits_drop: float = Field(
        0.15,
        ge=0,
        le=1,
        description="Largest share of the live release's Hits@10 on the same edges that may be lost.",
    )
    max_auc_drop: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Largest drop of AUC-dir on the same edges. A model without direction has 0.5.",
    )
    edges: int = Field(
        10_000, ge=1, description="Largest number of held-out edges that both releases are judged on."
    )
    min_edges: int = Field(
        200,
        ge=1,
        description="Least number of held-out edges for a refusal. With fewer, quality is shown only: it is mostly "
        "chance.",
    )
    min_coverage: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Least share of the snapshot's products that have vectors other than zero.",
    )
    max_gone: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Largest share of the live release's products that the new release may lack.",
    )
    max_changed: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Largest mean share of a product's ten related products that may differ from the live release's. "
        "1 refuses nothing.",
    )
    sample: int = Field(
        500,
        ge=1,
        description="Number of products whose ten related products are compared between the releases.",
    )
