"""Settings of the space `ranking`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from twinvec.settings.group import Group, Operational


class RankingSettings(Group):
    """Lists of related products, ordered by a ranker (LambdaMART) over graph, content and vectors."""

    required: Operational[bool] = Field(
        True, description="Whether vectors that were trained on a graph are published with lists only."
    )
    length: int = Field(100, ge=1, le=1000, description="Largest number of products in a list.")
    candidates: int = Field(
        60, ge=1, description="Number of candidates that each score of the graph and the vectors contribute."
    )
    compared: int = Field(
        200_000,
        ge=1,
        description="Largest number of products of a catalogue in which the vectors find candidates for every product. "
        "In larger ones they do for products without co-purchases and co-views.",
    )
    restart: float = Field(
        0.3, gt=0, lt=1, description="Probability that a walk returns to its start at a step."
    )
    steps: int = Field(8, ge=1, description="Number of steps of a walk.")
    least: float = Field(2e-4, gt=0, description="Walks less probable than this are dropped.")
    hub: int = Field(
        1_000,
        ge=1,
        description="Number of neighbours beyond which a product is no middle of a path between two others.",
    )
    similar: int = Field(
        100, ge=1, description="Number of products with the most neighbours in common that are kept for each."
    )
    folds: int = Field(
        5, ge=2, description="Number of parts of the edges that are hidden in turn and learned from."
    )
    max_edges: int = Field(
        150_000,
        ge=1,
        description="Largest number of edges to learn from; of larger graphs, fewer parts are hidden.",
    )
    min_edges: int = Field(
        200,
        ge=1,
        description="Least number of edges to learn from. With fewer, lists are in the order of the vectors.",
    )
    refit: bool = Field(
        True, description="Whether the ranker is trained again on all edges after the test, for the lists."
    )
    negatives: int = Field(
        60, ge=1, description="Largest number of other candidates that a hidden edge is compared with."
    )
    trees: int = Field(300, ge=1, description="Number of trees.")
    learning_rate: float = Field(0.05, gt=0, description="Weight of each tree.")
    leaves: int = Field(31, ge=2, description="Largest number of leaves of a tree.")
    min_pairs: int = Field(100, ge=1, description="Least number of pairs in a leaf.")
    feature_share: float = Field(0.5, gt=0, le=1, description="Share of the features that each tree may use.")
    pair_share: float = Field(0.8, gt=0, le=1, description="Share of the pairs that each tree is trained on.")
    l2: float = Field(5.0, ge=0, description="L2 penalty of a leaf's value.")
    bins: int = Field(
        127, ge=2, le=255, description="Largest number of values that a feature is divided into."
    )
    truncation: int = Field(
        20, ge=1, description="Number of first places within which pairs are compared with each other."
    )
    cold: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether candidates for products that are not in the catalogue are ranked by a ranker of their "
        "own: `auto` if that is better than the order of the vectors on validation edges.",
    )
    chunk: Operational[int] = Field(
        1_024, ge=1, description="Number of sources whose candidates are ranked at once."
    )
    threads: Operational[int] = Field(
        0, ge=0, description="Number of threads of the trees; 0 takes all cores."
    )

    def deciding_lists(self) -> dict[str, Any]:
        """Return the settings that decide lists, without that of the ranker for products without edges.

        An update takes both rankers as they are, so that it goes on with lists that were made before there were two.
        """
        return {name: value for name, value in self.deciding().items() if name != "cold"}
