"""Answers to how relevant products are to a search query, and the interface of what gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twinvec.errors import StateError
from twinvec.plugins import load_reference
from twinvec.serving.related import NewProduct
from twinvec.spaces import served_as
from twinvec.workspace import Workspace

# Name of the releases of search relevance.
SEARCH = "search_relevance"


@dataclass(frozen=True)
class RelevantProduct:
    """A product and its relevance to the query.

    Attributes:
        product_id: Product; None of one that was described.
        label: Most probable class: `E` (exact), `S` (substitute), `C` (complement) or `I` (irrelevant), or classes that
            the model does not tell apart, such as `CI`.
        probabilities: Class → probability; they sum to one.
        by_graph: True if purchases were read beside the texts, which needs purchases of query and product.
    """

    product_id: str | None
    label: str
    probabilities: Mapping[str, float]
    by_graph: bool


@dataclass(frozen=True)
class Relevance:
    """Relevance of some products to one query.

    Attributes:
        query: Text of the query, as it was asked.
        locale: Region whose customer asks.
        model: Region whose model answered, or `all regions` for a region without one of its own.
        release: Release that answered, such as `search_relevance__v3`.
        version: Its version of `relevance`.
        known_query: True if the text is a query of the snapshot.
        products: Products in the order in which they were asked for.
    """

    query: str
    locale: str
    model: str
    release: str
    version: str
    known_query: bool
    products: tuple[RelevantProduct, ...]


class Classifier(Protocol):
    """Classifies products by the live release, or by another; it keeps what it has loaded, and follows a switch.

    May be used by several threads.
    """

    def relevance(
        self,
        query: str,
        products: Sequence[str | NewProduct],
        locale: str | None = None,
        release: str | None = None,
    ) -> Relevance:
        """Return the relevance of products to a query.

        Args:
            query: Text of a query. One that the snapshot knows is recognised by its words, whatever their case.
            products: Ids of products of the catalogue, or descriptions of products that are not in it.
            locale: Region whose customer asks; that with most judgements if not given.
            release: Release that answers, as `v3`; the live one if not given.

        Raises:
            StateError: If no release is live, or the query is empty.
            UnknownNameError: If there is no such release.
            UnknownProductError: If the catalogue of the release lacks a product.
            UnusableProductError: If a description has neither a title nor a category.
        """
        ...

    def warm(self) -> None:
        """Load what answers for the live release, if there is one and it is not loaded yet."""
        ...


def open_classifier(workspace: Workspace, name: str = SEARCH) -> Classifier:
    """Return what classifies by the live release of a name; nothing is loaded yet.

    Raises:
        NotFoundError: If no space has releases of this name.
        StateError: If its releases do not classify.
    """
    space = served_as(workspace.settings, name)
    classify = space.serving.classify if space.serving is not None else None
    if classify is None:
        raise StateError(
            f"releases of {name} do not tell what is relevant to a search", f"name those of {SEARCH}"
        )
    classifier: Classifier = load_reference(classify)(workspace)
    return classifier
