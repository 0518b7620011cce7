"""Questions to a home: related products, vectors, figures, versions and releases."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinvec.errors import NotFoundError, StateError
from twinvec.home.opened import OpenHome
from twinvec.plugins import load_reference
from twinvec.spaces import lists_space, served_as

if TYPE_CHECKING:
    from registry.models import Release, Version
    from twinvec.home.vectors import VersionVectors
    from twinvec.serving.answering import Answerer, Question
    from twinvec.serving.related import NewProduct, Related
    from twinvec.serving.relevance import Classifier, Relevance
    from twinvec.serving.rules import Rules
    from twinvec.serving.sellers import Recommended
    from twinvec.serving.similar import Finder, NewListing, Similar
    from twinvec.vectors.index import Filters


class ReadableHome(OpenHome):
    """Questions to a home; nothing here changes it."""

    def related(
        self,
        product_id: str | None = None,
        k: int = 10,
        filters: Filters | None = None,
        *,
        title: str | None = None,
        category: str | None = None,
        image: str | Path | bytes | None = None,
        explain: bool = False,
        rules: Rules | None = None,
        release: str | None = None,
        fields: Sequence[str] = (),
    ) -> Related:
        """Return the products most related to one, from the live release or another.

        Args:
            product_id: Product of the catalogue. Leave it out for a product that is not in the catalogue, and give at
                least one of title, category and image.
            k: Number of products.
            filters: Conditions on the products that are found. By default, they are of the product's own marketplace;
                `Filters(marketplace=("*",))` allows all. A price is compared in the product's currency.
            title: Title of a new product.
            category: Category of a new product: its path, as `Music > Jazz`, or the name of one category.
            image: Image of a new product: a file, or its bytes.
            explain: Whether hits from the product's list get reasons: kind of evidence → what it added to the score.
            rules: Rules on what is shown, and in what order, beside those of `serving.rules` in the settings.
            release: Release to ask in place of the live one, as `v7`.
            fields: Further fields of the points, or attributes, that each hit carries.

        Raises:
            StateError: If no release is live, or not exactly one product is meant.
            NotFoundError: If the release has no such product, or there is no such release.
            UnusableProductError: If a new product cannot be encoded from its description, or the question contradicts
                itself.
            UnusableFilterError: If no product can meet the filters: an unknown name, or no price between the two.

        Example:
            >>> from twinvec.serving.rules import Condition, Rules
            >>> from twinvec.vectors.index import Filters
            >>> answer = home.related("T04V96VMH", k=5, filters=Filters(max_price=50.0))
            >>> all(hit.product.price <= 50 for hit in answer.hits)
            True
            >>> rules = Rules(where=(Condition.parse("price>=20"),), max_per_category=1)
            >>> all(hit.product.price >= 20 for hit in home.related("T04V96VMH", rules=rules).hits)
            True
            >>> new = home.related(title="Coffee machine", k=2)
            >>> len(new.hits)
            2
        """
        from twinvec.serving.related import NewProduct

        described = any(each is not None for each in (title, category, image))
        if described == (product_id is not None):
            raise StateError(
                "a query is for one product",
                "give the id of a product, or title, category or image of a new one",
            )
        question = _question(k, filters, rules, release, explain, fields)
        if product_id is not None:
            return self._answerer.related(product_id, question)
        content = image if isinstance(image, bytes) or image is None else self._read_image(Path(image))
        return self._answerer.related_to_new(NewProduct(title, category, content), question)

    def related_batch(
        self,
        product_ids: Sequence[str],
        k: int = 10,
        filters: Filters | None = None,
        *,
        rules: Rules | None = None,
        release: str | None = None,
        fields: Sequence[str] = (),
    ) -> list[Related]:
        """Return an answer for each of some products, all of one release; see `related` for the arguments.

        The answer for a product that the release does not have has no hits, and `fallback` says `unknown`.

        Example:
            >>> [len(answer.hits) for answer in home.related_batch(["T04V96VMH", "T0EB0Z1K8", "nobody"], k=3)]
            [3, 3, 0]
        """
        return self._answerer.batch(product_ids, _question(k, filters, rules, release, False, fields))

    def related_basket(
        self,
        product_ids: Sequence[str],
        k: int = 10,
        filters: Filters | None = None,
        *,
        rules: Rules | None = None,
        release: str | None = None,
        fields: Sequence[str] = (),
    ) -> Related:
        """Return one list for a basket of products, without them; see `related` for the arguments.

        Their lists are merged by reciprocal rank fusion.

        Example:
            >>> basket = ["T04V96VMH", "T0EB0Z1K8"]
            >>> [hit.product.product_id in basket for hit in home.related_basket(basket, k=2).hits]
            [False, False]
        """
        return self._answerer.basket(product_ids, _question(k, filters, rules, release, False, fields))

    def similar(
        self,
        item: str | NewListing,
        k: int = 10,
        marketplace: str | None = None,
        exact_only: bool = False,
    ) -> Similar:
        """Return the same product and its substitutes in all stores and languages, from the live release of `similar`.

        Args:
            item: Id of a listing or of a product, or a `twinvec.serving.similar.NewListing`. A product is asked by its
                listing in `marketplace` if it has one, else by its first.
            k: Number of listings.
            marketplace: Store whose listings are found; all if not given.
            exact_only: Leave out what is not taken for the same product.

        Raises:
            StateError: If no release is live.
            UnknownProductError: If the live release has no such listing or product.
            UnusableProductError: If a new listing cannot be encoded from its description.
        """
        return self._finder.similar(item, k, marketplace, exact_only)

    def relevance(
        self,
        query: str,
        products: Sequence[str | NewProduct],
        locale: str | None = None,
        *,
        release: str | None = None,
        name: str | None = None,
    ) -> Relevance:
        """Return how relevant products are to a search query, by a release of search relevance.

        Args:
            query: Words of a search. A query of the snapshot is recognised, whatever its case.
            products: Ids of products of the catalogue, or descriptions of others,
                `NewProduct("Case for a phone, red")`.
            locale: Region whose customer asks, such as `us`; that with most judgements if not given.
            release: Release to ask, as `v3`; the live one if not given.
            name: Name of the releases; `search_relevance` if not given.

        Returns:
            A label (`E`, `S`, `C` or `I`) and the probability of each for every product, in the order asked for.

        Raises:
            StateError: If no release is live, or the query is empty.
            UnknownProductError: If the catalogue of the release lacks a product.
        """
        from twinvec.serving.relevance import SEARCH, open_classifier

        name = name or SEARCH
        if name not in self._classifiers:
            self._classifiers[name] = open_classifier(self.workspace, name)
        return self._classifiers[name].relevance(query, products, locale, release)

    def sellers(
        self, seller_id: str, k: int = 10, *, rules: Rules | None = None, version: str | None = None
    ) -> Recommended:
        """Return products that a seller does not offer yet, the nearest first.

        Args:
            seller_id: Seller.
            k: Number of products.
            rules: Rules on what is shown: exclusions, conditions, a least score, most of a brand or category.
            version: Version to search exactly, such as `sellers@v2`; if not given the live release, or else the latest
                version.

        Raises:
            NotFoundError: If there is no such version, or it has no such seller; the message says why.
            StateError: If the version is of another space.
        """
        from twinvec.serving.sellers import recommend_by_rules

        question = _question(k, None, rules, None, False, ())
        return recommend_by_rules(self.workspace, self._answerer, seller_id, question, version)

    def vectors(self, version: str = "related", keys: Sequence[str] | None = None) -> VersionVectors:
        """Return the vectors of a version, to be used as Arrow, NumPy or torch.

        Args:
            version: Version, as `related@v3`, or the latest of a space, as `related`.
            keys: Products (or categories, or sellers) in the order of the answer; all if not given.

        Raises:
            NotFoundError: If there is no such version, or it lacks some of the keys.
            StateError: If the version has no vectors.

        Example:
            >>> vectors = home.vectors("related@v1")
            >>> vectors.to_numpy()["source_vector"].shape
            (200, 16)
            >>> home.vectors("related", keys=["T0EB0Z1K8", "T04V96VMH"]).to_torch()["target_vector"].shape
            torch.Size([2, 16])
            >>> vectors.to_arrow().column_names
            ['product_id', 'source_vector', 'target_vector']
        """
        from twinvec.home.vectors import read_version

        return read_version(self.workspace.version(version), keys)

    def export(self, version: str, target: str | Path) -> Path:
        """Write the keys and vectors of a version to one Parquet file, and return its path.

        Args:
            version: Version, as `related@v3`, or the latest of a space, as `related`.
            target: File that is written, whole or not at all.

        Raises:
            NotFoundError: If there is no such version.
            StateError: If the version has no vectors.

        Example:
            >>> import pyarrow.parquet as pq
            >>> pq.read_metadata(home.export("text@v1", "text.parquet")).num_rows
            200
        """
        from twinvec.exchange import export_version

        export_version(self.workspace.version(version), Path(target))
        return Path(target)

    def evaluate(
        self,
        edges: str | Path | Iterable[tuple[str, str]],
        version: str | None = None,
        name: str | None = None,
    ) -> Any:
        """Rank the target of each edge among all products for its source.

        Args:
            edges: CSV file with the columns source and target, or pairs of product ids.
            version: Version, as `related@v3`; the live one if not given, or the latest if none is live.
            name: Name of the releases; that of related products if not given.

        Returns:
            The figures, an `EdgeEvaluation` for related products.

        Raises:
            StateError: If versions of this space cannot be ranked on edges.
            CatalogueError: If no edge joins two products of the snapshot.

        Example:
            >>> figures = home.evaluate([("T04V96VMH", "TT4GHTVYT"), ("T0EB0Z1K8", "T0PG618VD")])
            >>> figures.version, figures.edges
            ('related@v1', 2)
            >>> 0 <= figures.mrr_at_10 <= 1
            True
        """
        evaluate = self._declared("evaluate", name)
        if isinstance(edges, str | Path):
            return evaluate(self.workspace, Path(edges), version)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "edges.csv"
            with file.open("w", newline="", encoding="utf-8") as opened:
                csv.writer(opened).writerows([("source", "target"), *edges])
            return evaluate(self.workspace, file, version)

    def releases(self, name: str | None = None) -> list[Release]:
        """Return the releases of a name, oldest first; those of related products if none is given.

        Example:
            >>> [(release.label, release.version.name, str(release.state)) for release in home.releases()]
            [('related_products@v1', 'related@v1', 'live')]
        """
        from twinvec import releases

        return list(releases.all_releases(self.workspace, self._known(name)))

    def versions(self, space: str | None = None) -> list[Version]:
        """Return the versions that are ready to be read, in the order they were made; of one space if given.

        Example:
            >>> [version.name for version in home.versions("graph")]
            ['graph@v1']
        """
        from registry import operations
        from registry.database import transaction
        from registry.models import State

        with transaction(self.workspace.engine) as session:
            versions = operations.versions(session, [State.READY])
        return [version for version in versions if space in (None, version.space)]

    def close(self) -> None:
        """Close the stores and forget the loaded encoders; a later use opens them again."""
        self.__dict__.pop("_answerer", None)
        self.__dict__.pop("_finder", None)
        self.__dict__.pop("_classifiers", None)
        super().close()

    @cached_property
    def _answerer(self) -> Answerer:
        """Answers from releases; it keeps the encoders and the ranker that it has loaded."""
        from twinvec.serving.opening import open_answerer

        space = served_as(self.settings, self.settings.release)
        lists = lists_space(space)
        explain = lists.listing.explain if lists is not None and lists.listing is not None else None
        cold_start = space.serving.cold_start if space.serving is not None else None
        return open_answerer(
            self.workspace,
            load_reference(cold_start)(self.workspace) if cold_start is not None else None,
            load_reference(explain)(self.workspace) if explain is not None else None,
        )

    @cached_property
    def _finder(self) -> Finder:
        """Answers about listings; it keeps the encoders that it has loaded."""
        from twinvec.serving.similar import Finder

        return Finder(self.workspace)

    @cached_property
    def _classifiers(self) -> dict[str, Classifier]:
        """Name of releases → what answers from them; it keeps the models that it has loaded."""
        return {}

    def _read_image(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                # One byte more than is allowed: the cold start refuses a larger image by its length.
                return file.read(self.settings.image.max_bytes + 1)
        except OSError as error:
            raise NotFoundError(
                f"the image {path} cannot be read: {error.strerror}", "name an image file, or give its bytes"
            ) from error


def _question(
    k: int,
    filters: Filters | None,
    rules: Rules | None,
    release: str | None,
    explain: bool,
    fields: Sequence[str],
) -> Question:
    from twinvec.serving.answering import Question
    from twinvec.serving.rules import Rules
    from twinvec.vectors.index import Filters

    return Question(
        k, filters or Filters(), rules or Rules(), release=release, explain=explain, fields=tuple(fields)
    )
