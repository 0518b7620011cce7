"""Settings of the space `sellers`. Defaults are WAML's where it names a value; each says where."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from twinvec.settings.stores import Group

Share = Annotated[float, Field(ge=0, le=1)]


class ReductionSettings(Group):
    """What is kept of the graph of sellers, products, customers and categories (WAML 2.1, appendix A)."""

    candidate_below: int = Field(
        10, ge=1, description="Products with fewer offers than this may be recommended (Table 1)."
    )
    customer_products: int = Field(
        100,
        ge=2,
        description="Products of a customer that are linked, at most: those it came back to most. n products make "
        "n²/2 links.",
    )
    min_shared: int = Field(
        2,
        ge=1,
        description="Customers that two products share if they are linked; 500 in the paper's graph of 5 billion "
        "edges (2.1), 200 in its appendix A.",
    )


class SellerSettings(Group):
    """Products to recommend to sellers, by WAML: weighted averaging of messages over layers."""

    reduction: ReductionSettings = Field(ReductionSettings(), description="What is kept of the graph.")
    validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of the offers of candidates that training stops by."
    )
    test: float = Field(
        0.2, gt=0, lt=0.5, description="Share of the offers of candidates held out for the test."
    )
    dimension: int = Field(256, ge=8, multiple_of=8, description="Length of every vector (3).")
    node_hash: bool = Field(True, description="Start with a hash of each node's id (2.2).")
    type_hash: bool = Field(True, description="Start with a hash of each node's type (2.2).")
    content: bool = Field(True, description="Start with the text vector of each product (2.2).")
    alphas: tuple[Share, ...] = Field(
        (0.4, 0.45, 0.5, 0.6, 0.7),
        min_length=1,
        description="Weight of a node's own vector in each layer; the neighbourhood has the rest (3, item 4).",
    )
    tuning: int = Field(
        1,
        ge=0,
        description="Rounds in which each layer's weight is tried higher and lower on validation offers.",
    )
    normalise: bool = Field(
        True, description="Bring a node's and its neighbourhood's vector to length one in each layer (2.2)."
    )
    blocks: int = Field(3, ge=0, description="Feed-forward blocks, J (2.3); none trains nothing.")
    beta: float = Field(
        0.25, gt=0, description="Length of what a block adds to its input (2.3); not given in the paper."
    )
    temperature: float = Field(0.1, gt=0, description="τ of the contrastive loss (2.3).")
    contrastive: bool = Field(
        True, description="False compares each pair with one random product only: a triplet loss (3)."
    )
    margin: float = Field(0.5, gt=0, description="Of that triplet loss.")
    batch: int = Field(512, ge=2, description="Offers in a step.")
    epochs: int = Field(20, ge=1, description="At most.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation recall before stopping.")
    learning_rate: float = Field(
        1e-3, gt=0, description="Of AdamW. The paper has 1e-4 (3), with far more offers in an epoch."
    )
    recall_at: int = Field(100, ge=1, description="Recommended products among which a true one counts (3).")
