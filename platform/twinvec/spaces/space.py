"""Declaration of a space: everything that the rest of Twinvec has to know about it, in one place.

Functions are named as `"package.module:function"` and imported when they are first called, so that a declaration is
cheap to read and the library imports no pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from twinvec.columns import CATEGORY, ITEM_ID, LOCALE, NODE_ID, PRODUCT_ID, QUERY_ID, SELLER_ID

Reference: TypeAlias = str
"""A function as `"package.module:function"`."""


@dataclass(frozen=True)
class Entity:
    """The kind of thing that has a vector.

    Attributes:
        name: Name in Feast, such as `product`.
        key: Column that identifies a row, such as `product_id`.
        description: Sentence for the readers of the feature store.
        table: Table of a snapshot that describes the rows of a release; empty if they are not released.
    """

    name: str
    key: str
    description: str
    table: str = ""


PRODUCTS = Entity("product", PRODUCT_ID, "A product of the catalogue.", table="products")
CATEGORIES = Entity("category", CATEGORY, 'A category as its path, joined by " > ".')
LISTINGS = Entity("listing", ITEM_ID, "A product in one store and one language.", table="listings")
SELLERS = Entity("seller", SELLER_ID, "A seller who offers products of the catalogue.")
QUERIES = Entity("query", QUERY_ID, "A search query.")
REGIONS = Entity("region", LOCALE, "A region whose customers search, such as `us`.")
SEARCH_NODES = Entity(
    "search_node", NODE_ID, "A search query as `q:<query_id>`, or a product as `p:<product_id>`."
)


class Field(NamedTuple):
    """A vector column of a space."""

    space: str
    name: str


@dataclass(frozen=True)
class Carry:
    """Way in which an update brings a space to a later snapshot without training.

    Attributes:
        how: `keep` uses the version of the live release as it is; `remake` runs the space's own pipeline, which trains
            nothing; `carry` calls `function`.
        function: `(workspace, live, full) -> Train`, where `live` is a `pipelines.update.live.Live` and `full` asks for
            every vector to be computed. It loads the frozen models and raises StoreError if one is gone.
        reads: Spaces whose new versions the function reads.
    """

    how: Literal["keep", "remake", "carry"]
    function: Reference = ""
    reads: tuple[str, ...] = ()


KEEP = Carry("keep")
REMAKE = Carry("remake")


@dataclass(frozen=True)
class Serving:
    """Release of the versions of a space.

    Attributes:
        name: Name of the releases, of the Qdrant alias and of the live feature service.
        asks: Field that a query vector comes from; None if nothing is searched, as for a release of models.
        searched: Field that the collection indexes and searches. Both fields belong to the space or its companions.
            A release without them has no collection, and its alias is kept in the registry alone.
        setting: Top-level setting that overrides `name`, if there is one.
        every_product: True if each product of the snapshot has to be in the collection.
        verify: `(workspace, version) -> dict`: for a release without a collection, checks that all its parts are there
            and belong together, and returns figures that are kept with it, `rows` and `answers` among them. The same
            version must give the same ones.
        floors: `(workspace, version) -> Sequence[Gate]`: figures that any release has to reach, the first one included.
        judge: `(workspace, new, live) -> Quality`: compares two versions on held-out data before a promotion.
        cold_start: `(workspace) -> ColdStart`: answers for products that are not in the catalogue.
        classify: `(workspace) -> Classifier`: tells how relevant products are to a search query; see
            `twinvec.serving.relevance`.
        evaluate: `(workspace, edges, …)`: measures the live release on edges from a file.
        aliases: Names of the MLflow aliases of the live and of the previous release's models. Releases of different
            names may share a registered model, so each has aliases of its own.
    """

    name: str
    asks: Field | None = None
    searched: Field | None = None
    setting: str | None = None
    every_product: bool = True
    verify: Reference | None = None
    floors: Reference | None = None
    judge: Reference | None = None
    cold_start: Reference | None = None
    classify: Reference | None = None
    evaluate: Reference | None = None
    aliases: tuple[str, str] = ("live", "previous")

    @property
    def fields(self) -> tuple[Field, Field] | None:
        """The fields that ask and that are searched; None if a release has no collection."""
        return (self.asks, self.searched) if self.asks is not None and self.searched is not None else None


@dataclass(frozen=True)
class Listing:
    """Lists of the answers of a served space. Its releases pin the lists that were made from their vectors.

    Attributes:
        of: Name of the served space.
        required: Setting that says whether vectors trained on a graph are published with lists only, as
            `ranking.required`.
        judge: `(workspace, new, live) -> Quality`: compares what two releases answer, in place of the served space's
            own `judge`, if one of them has lists.
        explain: `(workspace) -> Explainer`: tells what spoke for each answer from the lists.
    """

    of: str
    required: str
    judge: Reference | None = None
    explain: Reference | None = None


class Worth(NamedTuple):
    """Two figures of a version that tell the worth of its training.

    Attributes:
        figure: Name of the figure for people.
        before: Metric without the training.
        after: Metric with it.
        example: Sentence about what was measured elsewhere, for a home that has no version yet.
    """

    figure: str
    before: str
    after: str
    example: str = ""


@dataclass(frozen=True)
class Space:
    """A space: a kind of vectors, and how its versions are made, updated and served.

    Attributes:
        name: Such as `text`; versions are `text@v1`, `text@v2`, …
        train: `(inputs, run, progress) -> Outcome`; with companions, a mapping from space to Outcome.
        fields: Names of the vector columns; none for a space without vectors. No two spaces share a name, so that
            vectors of two spaces never meet in one table unnoticed.
        columns: Names of the other columns, if a version is a table of something else, such as lists.
        listing: Lists of the answers of a served space, if a version has them.
        entity: Kind of thing that has a vector.
        needs: Spaces that a version cannot be made without.
        needs_one_of: Spaces of which at least one must have a version; they are among `uses`.
        uses: Spaces that are read if there is a version of them.
        settings: Groups of settings that decide what is made.
        revision: Raised when the code makes something else of the same inputs.
        tables: Tables that a snapshot must have. Without them the space is left out, unless it is asked for.
        derived: Those of `tables` that a snapshot derives from others if its source has none. Without them, the space
            is made if it is asked for.
        reason_to_skip: `(snapshot, settings) -> str | None`: why there is nothing to make a version of.
        encoder: For spaces of content: a `pipelines.cold_start.models.ContentEncoder`, which encodes a product that is
            not in the catalogue. The alignment, baselines and cold start read the spaces that have one.
        update: Way in which an update carries the space on; None if only training can.
        companions: Spaces that the same training makes, before this one. They declare name, fields and entity; the
            rest is this space's.
        serving: Release of the versions; None if they are not released.
        description: Sentence for the readers of MLflow's page.
        worth: Figures that say what the training is worth; None if a version has none.
        transfer: `(workspace, stores, to, threshold, k, established, progress) -> Transfer`: lends behaviour between
            products that the live release has near each other.
    """

    name: str
    train: Reference = ""
    fields: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    listing: Listing | None = None
    entity: Entity = PRODUCTS
    needs: tuple[str, ...] = ()
    needs_one_of: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    revision: int = 1
    tables: tuple[str, ...] = ("products",)
    derived: tuple[str, ...] = ()
    reason_to_skip: Reference | None = None
    encoder: Reference | None = None
    update: Carry | None = None
    companions: tuple[Space, ...] = ()
    serving: Serving | None = None
    description: str = ""
    worth: Worth | None = None
    transfer: Reference | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """All spaces that the training reads."""
        return self.needs + self.uses

    @property
    def outcomes(self) -> tuple[Space, ...]:
        """The spaces that one training makes, in the order in which they are made."""
        return (*self.companions, self)
