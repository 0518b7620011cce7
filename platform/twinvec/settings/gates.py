"""Settings of the gates that a release passes before it takes the place of the live one."""

from __future__ import annotations

from pydantic import Field

from twinvec.settings.stores import Group


class GateSettings(Group):
    """By how much a release may be worse than the live one, or other than it, to be promoted without `--force`."""

    max_mrr_drop: float = Field(
        0.15, ge=0, le=1, description="Share of the live release's MRR@10 on held-out edges that may be lost."
    )
    max_hits_drop: float = Field(
        0.15, ge=0, le=1, description="Share of its Hits@10 on the same edges that may be lost."
    )
    max_auc_drop: float = Field(
        0.05,
        ge=0,
        le=1,
        description="By how much AUC-dir on them may be lower; one without direction has 0.5.",
    )
    edges: int = Field(10_000, ge=1, description="Held-out edges that both are judged on, at most.")
    min_edges: int = Field(
        200,
        ge=1,
        description="With fewer held-out edges than this, quality is shown and refuses nothing: it is mostly chance.",
    )
    min_coverage: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Least share of the snapshot's products that have vectors, not all zero.",
    )
    max_gone: float = Field(
        0.5, ge=0, le=1, description="Share of the live release's products that the new one may be without."
    )
    max_changed: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Mean share of a product's ten related products that may be others than those of the live "
        "release; 1 refuses nothing.",
    )
    sample: int = Field(
        500, ge=1, description="Products of both releases whose ten related products are compared."
    )
