"""Settings of the space `sellers`.

Defaults are those of the WAML paper where it names a value; numbers in parentheses are its sections.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from twinvec.settings.group import Group

Share = Annotated[float, Field(ge=0, le=1)]


class ReductionSettings(Group):
    """Reduction of the graph of sellers, products, customers and categories (WAML 2.1, appendix A)."""

    candidate_below: int = Field(
        10, ge=1, description="Number of offers below which a product may be recommended (Table 1)."
    )
    customer_products: int = Field(
        100,
        ge=2,
        description="Largest number of a customer's products that are linked with each other: those with most "
        "interactions. n products make n²/2 links.",
    )
    min_shared: int = Field(
        2,
        ge=1,
        description="Least number of customers that two linked products share; 500 in the paper's graph of 5 billion "
        "edges (2.1), 200 in its appendix A.",
    )


class SellerSettings(Group):
    """Products to recommend to sellers, by WAML: a weighted average of messages in each layer."""

    reduction: ReductionSettings = Field(ReductionSettings(), description="Reduction of the graph.")
    validation: float = Field(
        0.1, gt=0, lt=0.5, description="Share of the candidates' offers for validation."
    )
    test: float = Field(
        0.2, gt=0, lt=0.5, description="Share of the candidates' offers held out for the test."
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
        description="Number of rounds in which a higher and a lower weight of each layer are tried on validation "
        "offers.",
    )
    normalise: bool = Field(
        True,
        description="Normalise a node's and its neighbourhood's vector to length one in each layer (2.2).",
    )
    blocks: int = Field(
        3, ge=0, description="Number of feed-forward blocks, J (2.3). With 0, nothing is trained."
    )
    beta: float = Field(
        0.25, gt=0, description="Length of what a block adds to its input (2.3); not given in the paper."
    )
    temperature: float = Field(0.1, gt=0, description="Temperature τ of the contrastive loss (2.3).")
    contrastive: bool = Field(
        True,
        description="Use the contrastive loss. False uses a triplet loss with one random product a pair (3).",
    )
    margin: float = Field(0.5, gt=0, description="Margin of the triplet loss.")
    batch: int = Field(512, ge=2, description="Number of offers in a step.")
    epochs: int = Field(20, ge=1, description="Largest number of passes over the offers.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation recall before stopping.")
    learning_rate: float = Field(
        1e-3,
        gt=0,
        description="Learning rate of AdamW. The paper has 1e-4 (3), with far more offers in an epoch.",
    )
    recall_at: int = Field(
        100, ge=1, description="Number of recommended products in which a true one counts, k of recall@k (3)."
    )
