"""Judged pairs of a snapshot, with their texts, regions, classes and split; split by query, never by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.relevance.purchase_graph import PRODUCT, QUERY
from twinvec.catalogue.judgements import LABELS
from twinvec.draws import uniform
from twinvec.errors import CatalogueError

if TYPE_CHECKING:
    from twinvec.catalogue.snapshot import Snapshot
    from twinvec.settings import RelevanceSettings, Settings

Ints = npt.NDArray[np.int64]
# Title in the language of the region where there is one, else the English, else the first.
LANGUAGES = {"us": "en", "uk": "en", "es": "es", "mx": "es", "br": "pt", "jp": "ja"}


class Split(IntEnum):
    """Part of the judgements that a query belongs to."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@dataclass(frozen=True)
class Pairs:
    """Pairs of query and product, (n,) each.

    Attributes:
        queries, products: Texts, strings.
        query_nodes, product_nodes: Ids of the nodes in the graph of purchases, strings; null for an unknown query.
        regions: Strings.
    """

    queries: pa.Array
    products: pa.Array
    query_nodes: pa.Array
    product_nodes: pa.Array
    regions: pa.Array

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: Ints) -> Pairs:
        """Return some of the pairs."""
        places = pa.array(rows)
        return Pairs(*(values.take(places) for values in vars(self).values()))


@dataclass(frozen=True)
class Judged:
    """Judged pairs.

    Attributes:
        pairs: Queries and products.
        classes: Class of each pair, as a position in `names`, int64 [n].
        names: Names of the classes, such as `E`, `S`, `CI`.
        split: A `Split` for each pair, int64 [n]; all pairs of a query have the same.
    """

    pairs: Pairs
    classes: Ints
    names: tuple[str, ...]
    split: Ints

    def __len__(self) -> int:
        return len(self.classes)

    def rows(self, split: Split, region: str | None = None) -> Ints:
        """Return the rows of a part, int64; of one region if given."""
        chosen = self.split == split
        if region is not None:
            chosen = chosen & pc.equal(self.pairs.regions, region).to_numpy(zero_copy_only=False)
        return np.flatnonzero(chosen)

    def regions(self) -> list[str]:
        """Return the names of the regions, sorted."""
        return sorted(self.pairs.regions.unique().to_pylist())


_SQL = """
    SELECT query_id, judgements.product_id AS product_id, judgements.locale AS locale, label,
           queries.text AS query, queries.split AS split, {title} AS product
    FROM judgements JOIN queries USING (query_id) JOIN products USING (product_id)
    ORDER BY query_id, product_id, locale"""


def read_judged(snapshot: Snapshot, options: RelevanceSettings, seed: int) -> Judged:
    """Read the judged pairs of a snapshot.

    The source's own test queries are the test. Where it has none, a share of the queries is, by the hash of id and
    seed.

    Raises:
        CatalogueError: If a part of the queries is empty.
    """
    with snapshot.connect() as connection:
        table = connection.sql(_SQL.format(title=title_sql("judgements.locale"))).to_arrow_table()
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    names = class_names(options.classes)
    of_label = np.array(
        [next(place for place, name in enumerate(names) if label in name) for label in LABELS]
    )
    labels = pc.index_in(columns["label"], pa.array(list(LABELS))).to_numpy()
    judged = Judged(
        Pairs(
            columns["query"],
            columns["product"],
            pc.binary_join_element_wise(QUERY, columns["query_id"], ""),
            pc.binary_join_element_wise(PRODUCT, columns["product_id"], ""),
            columns["locale"],
        ),
        of_label[labels],
        names,
        _split(columns["query_id"], columns["split"], options, seed),
    )
    for part in Split:
        if not len(judged.rows(part)):
            raise CatalogueError(
                f"snapshot {snapshot.id} has no judgements for {part.name.lower()}",
                "ingest more judged queries",
            )
    return judged


def class_names(classes: str) -> tuple[str, ...]:
    """Return the names of the classes, such as `E`, `S` and `CI` for `E-S-CI`."""
    return tuple(classes.split("-"))


def title_sql(locale: str) -> str:
    """Return SQL of a product's text for a region: its title in the region's language, else another, else its category.

    Args:
        locale: SQL of the region.
    """
    cases = " ".join(f"WHEN '{region}' THEN '{language}'" for region, language in LANGUAGES.items())
    return f"""coalesce(
        title[CASE {locale} {cases} ELSE {locale} END], title['en'], map_values(title)[1],
        nullif(array_to_string(category, ' > '), ''), products.product_id)"""


def reason_to_skip(snapshot: Snapshot, _settings: Settings) -> str | None:
    """Return why there is nothing to learn relevance from, or None."""
    return None if snapshot.tables["judgements"] else "no product was judged for a query"


def _split(query_ids: pa.Array, given: pa.Array, options: RelevanceSettings, seed: int) -> Ints:
    encoded = query_ids.dictionary_encode()
    share = uniform(seed, "split of queries", _hashes(encoded.dictionary.to_pylist()))
    share = share[encoded.indices.to_numpy()]
    if pc.any(pc.equal(given, "test")).as_py():
        is_test = pc.equal(given, "test").fill_null(False).to_numpy(zero_copy_only=False)
        validation = share < options.validation / (1 - options.test)
    else:
        is_test = share >= 1 - options.test
        validation = share < options.validation
    return np.where(is_test, Split.TEST, np.where(validation, Split.VALIDATION, Split.TRAIN)).astype(np.int64)


def _hashes(ids: Sequence[str]) -> Ints:
    """Return a number of each id that depends on nothing else, int64 [n]."""
    import pandas as pd

    hashed: Ints = pd.util.hash_array(np.array(ids, object), categorize=False).view(np.int64)
    return hashed
