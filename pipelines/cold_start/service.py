"""Related products of a product that is not in the catalogue: what the command, the API and services call."""

from __future__ import annotations

import threading
from dataclasses import replace

from pipelines.cold_start.description import find_path
from pipelines.cold_start.encoders import Encoders, find_encoders
from pipelines.cold_start.neighbours import AlignedProducts, Floats
from pipelines.ranking.cold import CANDIDATES, NEIGHBOURS, nearest_rows, weigh
from twinvec.serving.product import Product
from twinvec.serving.related import NewProduct, Related, UnusableProductError, found_products, live_collection
from twinvec.text import is_valid
from twinvec.vectors.index import Filters
from twinvec.workspace import Workspace


class ColdStart:
    """Answers for products that are not in the catalogue, each from the release that is live at that moment.

    A new product gets the text and image vectors that the release's own encoders give it, and the aligned vector of a
    product without co-views. Its source vector is the mean of those of the ten products of the catalogue that are
    nearest to it there, the nearer the heavier: what goes with products like it. The dual-embedding model itself was
    measured to be no match for that, as its vectors tell a product's place in the graph, and a new product has none
    (`docs/cold_start.md`). If the release has a ranker for products without edges, it ranks what the index finds.

    Nothing is loaded before the first query. Models and aligned vectors are then kept until another release is asked,
    as when one goes live. In an experiment, those of each arm and of the live release are kept, so that visitors of
    two arms do not load them in turns. May be used by several threads.

    Args:
        workspace: The stores; its settings say which releases, and what images may be read.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        # Collection → its encoders, the one asked last at the end.
        self._encoders: dict[str, Encoders] = {}
        arms = workspace.settings.serving.experiment.arms
        self._most = len(arms) + 1 if arms else 1
        self._mutex = threading.Lock()

    def related(
        self,
        product: NewProduct,
        k: int = 10,
        filters: Filters | None = None,
        collection: str | None = None,
    ) -> Related:
        """Return the k products most related to `product`, best first, all from one release.

        Args:
            product: The new product.
            k: Number of products.
            filters: Conditions on the products that are found.
            collection: Collection of the release; that of the live one if not given.

        Raises:
            UnusableProductError: If the product cannot be encoded from what is said of it.
            StateError: If no release is live, or the live one was made without texts and images.
            StoreError: If an encoder is gone from MLflow, or is another than the release was made with.
            VerificationError: If the index is not what the registry says it is.
        """
        self._check(product)
        index, settings = self._workspace.index, self._workspace.settings
        collection = collection or live_collection(index, settings.release)
        encoders = self._encoders_of(collection)
        path = find_path(product.category, encoders.paths) if product.category is not None else ()
        with self._mutex:  # loaded by one thread, if they are not yet
            models, products, ranker = encoders.models, encoders.products, encoders.ranker
        cosines = products.cosines(models.encode(product, path))
        query = self._source(collection, products, cosines)
        ef = index.search_ef(collection) or settings.qdrant.ef
        most = k if ranker is None else max(k, CANDIDATES)
        (hits,) = index.search(collection, query[None], most, filters, ef)
        new = Product(None, product.title, path, None, None)
        if ranker is None:
            return Related(collection, new, found_products(hits, settings.serving.link))
        ranked = found_products(ranker.rank(hits, cosines, path)[:k], settings.serving.link)
        return Related(collection, new, tuple(replace(hit, listed=True) for hit in ranked), len(ranked))

    def warm(self, collection: str) -> None:
        """Load the encoders and the ranker of a release, and use each once.

        Raises:
            StateError: If the release was made without texts and images, or imported.
        """
        encoders = self._encoders_of(collection)
        with self._mutex:
            models, products, ranker = encoders.models, encoders.products, encoders.ranker
        path = encoders.paths[0] if encoders.paths else ()
        cosines = products.cosines(models.encode(NewProduct("warm", None, None), path))
        if ranker is not None:
            index = self._workspace.index
            query = self._source(collection, products, cosines)
            (hits,) = index.search(collection, query[None], CANDIDATES)
            ranker.rank(hits, cosines, path)

    def _source(self, collection: str, products: AlignedProducts, cosines: Floats) -> Floats:
        """Return the source vector of a product of which the cosines with all are these, float32 [d]."""
        rows = nearest_rows(cosines, NEIGHBOURS)
        sources, _ = self._workspace.index.vectors(collection, products.points(rows))
        source: Floats = weigh(cosines[rows]) @ sources
        return source

    def _encoders_of(self, collection: str) -> Encoders:
        with self._mutex:
            encoders = self._encoders.pop(collection, None)
            if encoders is None:
                while len(self._encoders) >= self._most:
                    # Before others are loaded, so that a query of the old release is the last to hold its models.
                    del self._encoders[next(iter(self._encoders))]
                encoders = find_encoders(self._workspace, collection)
            self._encoders[collection] = encoders
            return encoders

    def _check(self, product: NewProduct) -> None:
        """Raise for a product that cannot be encoded, as far as that shows without the encoders."""
        most = self._workspace.settings.image.max_bytes
        if product.title is None and product.category is None and product.image is None:
            raise UnusableProductError(
                "nothing is said of the product", "give it a title, a category or an image"
            )
        if not all(map(is_valid, filter(None, (product.title, product.category)))):
            raise UnusableProductError("the title or the category is not valid Unicode", "write it in UTF-8")
        if product.title is not None and not product.title.strip():
            raise UnusableProductError("the title is empty", "write one, or leave it out")
        if product.image is not None and not product.image:
            raise UnusableProductError("the image is empty", "give a whole image file, or leave it out")
        if product.image is not None and len(product.image) > most:
            raise UnusableProductError(
                f"the image has more than {most:,} bytes", "give a smaller one, or raise image.max_bytes"
            )
