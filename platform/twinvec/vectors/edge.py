"""Qdrant Edge: the engine in this process, a folder a collection.

    <root>/<collection>/shard/            what Qdrant Edge keeps
    <root>/<collection>/collection.json   the config and metadata, which Edge has no place for
    <root>/aliases.json                   alias → collection, replaced in one rename
    <root>/.locks/                        one file a collection, never deleted

Edge itself locks nothing but its write-ahead log: with one, a shard can be open once, in one process, and
whoever comes second fails with `WouldBlock`. Shards are made here without one (`wal_enabled=False`), so
any number of processes can load and query the same shard; loading and closing then only replace two small
files by ones of the same meaning. Nothing would keep a second writer out, so locks are taken here: one
writer, or many readers, for as long as an index holds the collection open. Readers of other collections,
such as the live one, are never in the way of a publish.

Without the log, what was uploaded and not yet built is lost if the process dies; publishing again uploads
it again.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import qdrant_edge as edge

from twinvec.errors import NotFoundError, StateError, StoreError
from twinvec.files import new_folder, write_text
from twinvec.vectors.index import (
    FLOAT_FIELDS,
    KEYWORD_FIELDS,
    SOURCE,
    TARGET,
    CollectionConfig,
    Filters,
    Hit,
    as_arrays,
    same_config,
)
from twinvec.vectors.locks import take_lock, wait_for_lock
from twinvec.vectors.points import FloatArray, PointBatch


@dataclass
class _Open:
    shard: edge.EdgeShard
    lock: IO[str]
    writable: bool


class EdgeIndex:
    """A VectorIndex in `root`, opened on first use; see `VectorIndex` for the methods."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[str, _Open] = {}
        self._mutex = threading.RLock()

    def create(self, collection: str, config: CollectionConfig) -> None:
        """Create an empty shard; it appears whole or not at all."""
        folder = self._root / collection
        with nullcontext() if folder.exists() else self._lock(collection, exclusive=True):
            if folder.exists():
                same_config(collection, self._config(collection), config)
                return
            with _explained(f"create {collection}"), new_folder(folder) as staging:
                _create_shard(staging / "shard", config)
                text = json.dumps(asdict(config), indent=2)
                (staging / "collection.json").write_text(text, encoding="utf-8")

    def upsert(self, collection: str, batch: PointBatch) -> None:
        """Write the batch; it is durable after `build` or `close`."""
        points = [
            edge.Point(id=id_, vector={SOURCE: source, TARGET: target}, payload=payload)
            for id_, source, target, payload in zip(
                batch.ids, batch.source.tolist(), batch.target.tolist(), batch.payloads, strict=True
            )
        ]
        shard = self._shard(collection, writable=True)
        with _explained(f"upload to {collection}"):
            shard.update(edge.UpdateOperation.upsert_points(points))

    def build(self, collection: str) -> None:
        """Run the optimisers, which Edge never does by itself, and give the collection free for readers."""
        with self._mutex:
            shard = self._acquire(collection, writable=True).shard
            with _explained(f"index {collection}"):
                shard.optimize()
            self._release(collection)

    def count(self, collection: str) -> int:
        """The exact number of points."""
        shard = self._shard(collection)
        with _explained(f"count {collection}"):
            return shard.count(edge.CountRequest(exact=True))

    def metadata(self, collection: str) -> dict[str, str]:
        """The metadata that the collection was created with."""
        return self._config(self._resolve(collection)).metadata

    def vectors(self, collection: str, ids: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """The source and the target vectors [n, d] float32 of these points, in their order."""
        shard = self._shard(collection)
        with _explained(f"read {collection}"):
            records = shard.retrieve(list(ids), with_payload=False, with_vector=[SOURCE, TARGET])
        stored = {str(record.id): record.vector for record in records}
        return as_arrays(collection, ids, stored)

    def find(self, collection: str, product_id: str) -> dict[str, Any] | None:
        """The payload of the product with this id, or None."""
        shard = self._shard(collection)
        wanted = edge.Filter(must=[edge.FieldCondition("product_id", match=edge.MatchAny([product_id]))])
        with _explained(f"read {collection}"):
            records, _ = shard.scroll(edge.ScrollRequest(limit=1, filter=wanted, with_payload=True))
        return records[0].payload if records else None

    def search(
        self,
        collection: str,
        queries: FloatArray,
        k: int,
        filters: Filters | None = None,
        ef: int | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The k best targets of each query vector, best first."""
        shard = self._shard(collection)
        conditions = _filter(filters)
        parameters = edge.SearchParams(hnsw_ef=ef, exact=exact)
        requests = [_request(query, k, conditions, parameters) for query in queries.tolist()]
        with _explained(f"search {collection}"):
            found = shard.query_batch(edge.QueryBatchRequest(requests))
        return [list(map(_hit, points)) for points in found]

    def related(
        self, collection: str, point: str, k: int, filters: Filters | None = None, ef: int | None = None
    ) -> list[Hit]:
        """The k best targets of a stored point's source vector, the point itself left out."""
        shard = self._shard(collection)
        with _explained(f"search {collection}"):
            records = shard.retrieve([point], with_payload=False, with_vector=[SOURCE])
        if not records:
            raise NotFoundError(f"{collection} has no point {point}", "publish a snapshot with this product")
        stored: Any = records[0].vector
        request = _request(stored[SOURCE], k, _filter(filters, without=point), edge.SearchParams(hnsw_ef=ef))
        with _explained(f"search {collection}"):
            return list(map(_hit, shard.query(request)))

    def switch_alias(self, alias: str, collection: str) -> None:
        """Rename a new alias map over the old one, then read it back."""
        self._config(collection)
        with wait_for_lock(self._root / ".locks" / ".aliases"):
            changed = self.aliases() | {alias: collection}
            write_text(self._root / "aliases.json", json.dumps(changed, indent=2, sort_keys=True))
            if self.aliases().get(alias) != collection:
                raise StoreError(f"alias {alias} does not point at {collection} after it was set to")

    def aliases(self) -> dict[str, str]:
        """Alias → collection; read from disk each time, so that a switch elsewhere is seen here."""
        try:
            known: dict[str, str] = json.loads((self._root / "aliases.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return known

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        return sorted(file.parent.name for file in self._root.glob("[!.]*/collection.json"))

    def drop(self, collection: str) -> None:
        """Delete a collection that no alias points at and nobody has open."""
        self._config(collection)
        live = [alias for alias, pointed in self.aliases().items() if pointed == collection]
        if live:
            raise StateError(f"{collection} is live as {live[0]}", "promote another release first")
        with self._mutex:
            self._release(collection)
            with self._lock(collection, exclusive=True):
                shutil.rmtree(self._root / collection)

    def close(self) -> None:
        """Write what is pending and release every collection."""
        with self._mutex:
            for collection in list(self._open):
                self._release(collection)

    def _resolve(self, name: str) -> str:
        return self.aliases().get(name, name)

    def _config(self, collection: str) -> CollectionConfig:
        try:
            text = (self._root / collection / "collection.json").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFoundError(
                f"no collection or alias {collection} in {self._root}",
                f"there are: {', '.join([*self.aliases(), *self.collections()]) or 'none'}",
            ) from error
        return CollectionConfig(**json.loads(text))

    def _shard(self, name: str, *, writable: bool = False) -> edge.EdgeShard:
        with self._mutex:
            return self._acquire(self._resolve(name), writable=writable).shard

    def _acquire(self, collection: str, *, writable: bool) -> _Open:
        opened = self._open.get(collection)
        if opened is not None and (opened.writable or not writable):
            return opened
        self._config(collection)  # explains what is missing
        self._release(collection)
        lock = self._lock(collection, exclusive=writable)
        try:
            with _explained(f"open {collection}", "if it is damaged, drop it and publish it again"):
                shard = edge.EdgeShard.load(str(self._root / collection / "shard"))
        except StoreError:
            lock.close()
            raise
        self._open[collection] = _Open(shard, lock, writable)
        return self._open[collection]

    def _release(self, collection: str) -> None:
        opened = self._open.pop(collection, None)
        if opened is None:
            return
        with opened.lock, _explained(f"close {collection}"):
            if opened.writable:
                opened.shard.flush()
            opened.shard.close()

    def _lock(self, collection: str, *, exclusive: bool) -> IO[str]:
        return take_lock(self._root / ".locks" / collection, f"collection {collection}", exclusive=exclusive)


@contextmanager
def _explained(action: str, hint: str = "") -> Iterator[None]:
    # Edge raises plain Exception (and TypeError or ValueError from its bindings).
    try:
        yield
    except Exception as error:
        raise StoreError(f"Qdrant Edge could not {action}: {error}", hint) from error


def _create_shard(folder: Path, config: CollectionConfig) -> None:
    def vector(m: int) -> edge.EdgeVectorParams:
        graph = edge.HnswIndexConfig(
            m=m, ef_construct=config.ef_construct, full_scan_threshold=config.full_scan_threshold
        )
        return edge.EdgeVectorParams(config.dimension, edge.Distance.Dot, hnsw_config=graph)

    # Kept with the shard, so that loading it needs no config.
    shard = edge.EdgeShard.create(
        str(folder),
        edge.EdgeConfig(
            vectors={SOURCE: vector(0), TARGET: vector(config.m)},
            optimizers=edge.EdgeOptimizersConfig(indexing_threshold=config.full_scan_threshold),
            wal_enabled=False,
        ),
    )
    for name in KEYWORD_FIELDS:
        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Keyword))
    for name in FLOAT_FIELDS:
        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Float))
    shard.flush()
    shard.close()


def _request(
    query: list[float], k: int, conditions: edge.Filter | None, parameters: edge.SearchParams
) -> edge.QueryRequest:
    return edge.QueryRequest(
        limit=k,
        query=edge.Query.Nearest(query, using=TARGET),
        filter=conditions,
        params=parameters,
        with_payload=True,
    )


def _hit(point: edge.ScoredPoint) -> Hit:
    payload = point.payload or {}
    return Hit(str(payload.get("product_id")), point.score, payload)


def _filter(filters: Filters | None, without: str | None = None) -> edge.Filter | None:
    filters = filters or Filters()
    must: list[Any] = [
        edge.FieldCondition(name, match=edge.MatchAny(list(values)))
        for name, values in (("category", filters.category), ("marketplace", filters.marketplace))
        if values
    ]
    if filters.min_price is not None or filters.max_price is not None:
        bounds = edge.RangeFloat(gte=filters.min_price, lte=filters.max_price)
        must.append(edge.FieldCondition("price", range=bounds))
    must_not: list[Any] = [edge.HasIdCondition({without})] if without is not None else []
    return edge.Filter(must=must, must_not=must_not) if must or must_not else None
