"""Answers of the live release: relevance of products to a query, one at a time or by the million."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipelines.relevance.encoder import PairReader
from pipelines.relevance.fitting import ALL
from pipelines.relevance.graph_files import IDS
from pipelines.relevance.judged import title_sql
from pipelines.relevance.packaging import Recipe, digest_of_folder, load_model, read_recipe
from pipelines.relevance.pipeline import encoded_file
from pipelines.relevance.problem import Problem, predict
from pipelines.relevance.purchase_graph import PRODUCT, QUERY
from pipelines.relevance.space import NEIGHBOURHOODS, SPACE
from registry.models import WHOLE, Release, Version
from twinvec import tracking
from twinvec.catalogue.snapshot import Snapshot, open_snapshot
from twinvec.errors import NotFoundError, StateError, suggestion
from twinvec.features.manifest import Manifest
from twinvec.nn.device import resolve_device
from twinvec.nn.models.salam import Salam
from twinvec.releases.lookup import find, live
from twinvec.serving.related import NewProduct, UnknownNameError, UnknownProductError, UnusableProductError
from twinvec.serving.relevance import Relevance, RelevantProduct
from twinvec.spaces import release_name
from twinvec.workspace import Workspace

Floats = npt.NDArray[np.float32]
HINT = "train the space again: `twinvec train relevance --force`"
# Seconds for which a service takes the release that it has seen to be live.
SEEN = 1.0
# Releases whose models are kept: the live one, and one that is named.
KEPT = 2


@dataclass
class LoadedVersion:
    """A version of `relevance` with the models that have been asked.

    Attributes:
        version: Version.
        recipe: What its models are built from.
        folder: Folder of the models, as MLflow keeps them.
        snapshot: Snapshot that it was made from.
        node_ids: Node → its number; empty without purchases.
        device: Device to compute on.
        warm: Whether all its models were asked once.
    """

    version: Version
    recipe: Recipe
    folder: Path
    snapshot: Snapshot
    node_ids: dict[str, int]
    device: torch.device
    warm: bool = False
    _models: dict[str, tuple[Salam, PairReader, Floats | None]] = field(default_factory=dict)
    _titles: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.recipe.names

    @cached_property
    def queries(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Normalised text and locale → id and text of a query of the snapshot; the first of several of one text."""
        with self.snapshot.connect() as connection:
            rows = connection.execute(
                "SELECT text, locale, query_id FROM queries ORDER BY query_id DESC"
            ).fetchall()
        return {(normalise(text), locale): (query_id, text) for text, locale, query_id in rows}

    def titles(self, product_ids: Sequence[str], locale: str) -> list[str | None]:
        """Return the text of each product for a region; None for one that the snapshot lacks."""
        if locale not in self._titles:
            with self.snapshot.connect() as connection:
                query = f"SELECT product_id, {title_sql('$locale')} FROM products"
                self._titles[locale] = dict(connection.execute(query, {"locale": locale}).fetchall())
        return [self._titles[locale].get(product_id) for product_id in product_ids]

    def model_of(self, locale: str) -> str:
        """Return the name of the model that answers for a region."""
        return locale if locale in self.recipe.regions else ALL

    def probabilities(
        self,
        name: str,
        queries: pa.Array,
        products: pa.Array,
        query_nodes: Sequence[str | None],
        product_nodes: Sequence[str | None],
        batch: int,
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the probabilities of pairs, float32 [n, classes], and which of them were read with purchases.

        Args:
            name: Name of the model.
            queries, products: Texts, strings [n].
            query_nodes, product_nodes: Ids of the nodes; None for a query that is not known.
            batch: Number of pairs that are classified at once.
        """
        model, reader, encoded = self._model(name)
        roots = np.array(
            [
                [self.node_ids.get(node, -1) if node is not None else -1 for node in nodes]
                for nodes in (query_nodes, product_nodes)
            ],
            np.int64,
        ).reshape(2, -1)
        if encoded is None:
            roots[:] = -1
        problem = Problem(reader, reader.read(queries, products), roots, None, encoded=encoded)
        return predict(model, problem, problem.rows(), batch, self.device), problem.known

    def _model(self, name: str) -> tuple[Salam, PairReader, Floats | None]:
        if name not in self._models:
            model, reader = load_model(self.folder, name, self.recipe, self.device)
            file = Path(self.version.path) / encoded_file(name)
            encoded = np.load(file, mmap_mode="r") if file.is_file() else None
            self._models[name] = (model, reader, encoded)
        return self._models[name]


def load_version(workspace: Workspace, version: Version) -> LoadedVersion:
    """Open a version: find its models in MLflow, check them against its manifest, and map its nodes.

    Raises:
        StoreError: If the models are gone, or others than the version was made with.
    """
    model = tracking.load_model(
        workspace.settings, version, HINT, "pyfunc", lambda loaded: digest_of_folder(loaded.folder)
    )
    recipe = read_recipe(model.folder)
    return LoadedVersion(
        version,
        recipe,
        model.folder,
        open_snapshot(Path(version.snapshot.path)),
        _node_numbers(workspace, version) if recipe.node_length is not None else {},
        resolve_device(workspace.settings.device),
    )


def text_of(product: NewProduct) -> str:
    """Return the text of a product that is not in the catalogue, as `title_sql` has it of one that is.

    Raises:
        UnusableProductError: If there is none.
    """
    text = product.title or product.category
    if not text:
        raise UnusableProductError(
            "a product has neither a title nor a category", "relevance is told by texts: give one of them"
        )
    return text


def normalise(text: str) -> str:
    """Return a query's words in lower case, with single blanks between them."""
    return " ".join(text.casefold().split())


@dataclass
class RelevanceService:
    """Answers by the live release; it keeps what it has loaded, and follows a switch within a second.

    May be used by several threads.

    Args:
        workspace: Stores.
    """

    workspace: Workspace
    # Version → what is loaded of it, the one asked last at the end.
    _loaded: dict[int, LoadedVersion] = field(default_factory=dict)
    _release: Release | None = None
    _seen: float = float("-inf")
    # One question at a time: two would load a release twice, and a tokenizer must not be used by two at once.
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def relevance(
        self,
        query: str,
        products: Sequence[str | NewProduct],
        locale: str | None = None,
        release: str | None = None,
    ) -> Relevance:
        """Return the relevance of products to a query; see `twinvec.serving.relevance.Classifier`."""
        with self._mutex:
            return self._relevance(query, products, locale, release)

    def warm(self) -> None:
        """Load the models of all regions of the live release, and ask each once."""
        with self._mutex:
            try:
                _, loaded = self.opened()
            except StateError:
                return
            if loaded.warm:
                return
            text = pa.array(["warm"])
            for region in loaded.recipe.regions:
                loaded.titles((), region)
                loaded.probabilities(loaded.model_of(region), text, text, [None], [None], 1)
            loaded.warm = True

    def _relevance(
        self, query: str, asked_for: Sequence[str | NewProduct], locale: str | None, label: str | None
    ) -> Relevance:
        release, loaded = self.opened(label)
        if not query.strip():
            raise StateError("the query is empty", "give the words of a search")
        asked = locale or loaded.recipe.regions[0]
        product_ids = [each for each in asked_for if isinstance(each, str)]
        known = dict(zip(product_ids, loaded.titles(product_ids, asked), strict=True))
        if missing := [each for each, text in known.items() if text is None]:
            raise UnknownProductError(
                f"{release.label} has no product {missing[0]}"
                + (f", nor {len(missing) - 1} others that were asked for" if missing[1:] else ""),
                f"it is of snapshot {release.version.snapshot_id}; " + suggestion(missing[0], []),
            )
        # A known query is read as the snapshot has it, so that its case changes no answer.
        query_id, text = loaded.queries.get((normalise(query), asked), (None, query))
        node, count = f"{QUERY}{query_id}" if query_id is not None else None, len(asked_for)
        texts = [known[each] if isinstance(each, str) else text_of(each) for each in asked_for]
        name = loaded.model_of(asked)
        found, by_graph = loaded.probabilities(
            name,
            pa.array([text] * count, pa.string()),
            pa.array(texts, pa.string()),
            [node] * count,
            [f"{PRODUCT}{each}" if isinstance(each, str) else None for each in asked_for],
            self.workspace.settings.relevance.predict_batch,
        )
        products = [
            RelevantProduct(
                each if isinstance(each, str) else None,
                loaded.names[int(row.argmax())],
                dict(zip(loaded.names, map(float, row), strict=True)),
                bool(graph),
            )
            for each, row, graph in zip(asked_for, found, by_graph, strict=True)
        ]
        return Relevance(
            query,
            asked,
            name,
            release.collection,
            loaded.version.name,
            query_id is not None,
            tuple(products),
        )

    def opened(self, label: str | None = None) -> tuple[Release, LoadedVersion]:
        """Return a release, the live one if none is named, and its version with all that is loaded of it.

        Raises:
            StateError: If no release is live.
            UnknownNameError: If there is no such release.
        """
        release = self._live() if label is None else self._named(label)
        loaded = self._loaded.pop(release.version_id, None) or load_version(self.workspace, release.version)
        self._loaded[release.version_id] = loaded
        while len(self._loaded) > KEPT:
            del self._loaded[next(iter(self._loaded))]
        return release, loaded

    def _named(self, label: str) -> Release:
        try:
            release = find(self.workspace, label, release_name(SPACE, self.workspace.settings))
        except NotFoundError as error:
            raise UnknownNameError(error.message, error.hint) from error
        if release.version.space != SPACE.name:
            raise UnknownNameError(f"{release.label} is no release of search relevance", "name one as `v3`")
        if release.state not in WHOLE:
            raise UnknownNameError(
                f"{release.label} cannot answer: it is {release.state}", "`twinvec status` lists the releases"
            )
        return release

    def _live(self) -> Release:
        if time.monotonic() - self._seen > SEEN:
            self._release = live(self.workspace, release_name(SPACE, self.workspace.settings))
            self._seen = time.monotonic()
        if self._release is None:
            raise StateError(
                "no release of search relevance is live",
                "`twinvec train relevance`, then `twinvec publish --release search_relevance` and "
                "`twinvec promote --release search_relevance`",
            )
        return self._release


def classify_batches(loaded: LoadedVersion, batches: Iterator[pa.Table], batch: int) -> Iterator[pa.Table]:
    """Yield labels and probabilities of pairs, a table for each table, in the same order of rows.

    Args:
        loaded: Version that is asked.
        batches: Tables with the columns `query_id` or null, `query`, `product_id`, `product` (text) and `locale`.
        batch: Number of pairs that are classified at once.
    """
    for table in batches:
        locales = np.array(table["locale"].to_pylist())
        found = np.zeros((table.num_rows, len(loaded.names)), np.float32)
        known = np.zeros(table.num_rows, bool)
        query_nodes = [None if each is None else f"{QUERY}{each}" for each in table["query_id"].to_pylist()]
        product_nodes = [f"{PRODUCT}{each}" for each in table["product_id"].to_pylist()]
        for locale in np.unique(locales):
            rows = np.flatnonzero(locales == locale)
            part = table.take(pa.array(rows))
            found[rows], known[rows] = loaded.probabilities(
                loaded.model_of(str(locale)),
                part["query"].combine_chunks(),
                part["product"].combine_chunks(),
                [query_nodes[row] for row in rows],
                [product_nodes[row] for row in rows],
                batch,
            )
        labels = pa.array(loaded.names).take(pa.array(found.argmax(1)))
        columns: dict[str, Any] = {"label": labels, "by_graph": pa.array(known)}
        for place, name in enumerate(loaded.names):
            columns[f"probability_{name}"] = pa.array(found[:, place])
        yield pa.table({**{name: table[name] for name in ("query_id", "product_id", "locale")}, **columns})


def _node_numbers(workspace: Workspace, version: Version) -> dict[str, int]:
    import pyarrow.parquet as pq

    for name in Manifest.from_json(version.manifest).inputs:
        if name.partition("@")[0] == NEIGHBOURHOODS.name:
            ids = pq.read_table(Path(workspace.version(name).path) / IDS)["node_id"].to_pylist()
            return {node: number for number, node in enumerate(ids)}
    return {}
