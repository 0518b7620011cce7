"""Qdrant Edge: the engine in this process, a folder a collection.

    <root>/<collection>/shard/            what Qdrant Edge keeps
    <root>/<collection>/collection.json   the config and metadata, which Edge has no place for
    <root>/<collection>/notes.json        the notes, which may change
    <root>/aliases.json                   alias → collection, replaced in one rename
    <root>/.locks/                        one file a collection, never deleted

Edge itself locks nothing but its write-ahead log: with one, a shard can be open once, in one process, and
whoever comes second fails with `WouldBlock`. Shards are made here without one (`wal_enabled=False`), so
any number of processes can load and query the same shard; loading and closing then only replace two small
files by ones of the same meaning. Nothing would keep a second writer out, so locks are taken (`shards`): one
writer, from `create` or its first write to `build`, or many readers, for as long as an index holds the
collection open. Readers of other collections, such as the live one, are never in the way of a publish, and
they let go of what was live at their next query, so that it can be dropped.

Without the log, what was uploaded and not yet built is lost if the process dies; publishing again uploads
it again.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from twinvec.disk import require_room
from twinvec.errors import NotFoundError, StateError, StoreError
from twinvec.files import new_folder, write_text
from twinvec.vectors import shard_queries
from twinvec.vectors.cached_json import JsonFiles
from twinvec.vectors.index import (
    EF,
    QUANTIZATION,
    SOURCE,
    TARGET,
    CollectionConfig,
    Filters,
    Hit,
    Neighbours,
    Quantization,
    as_arrays,
    in_order,
    same_config,
)
from twinvec.vectors.locks import take_lock
from twinvec.vectors.points import FloatArray, PointBatch
from twinvec.vectors.shard_config import create_shard, shard_config
from twinvec.vectors.shard_queries import as_filter, search_params
from twinvec.vectors.shards import Shards, explained

PATIENCE_SECONDS = 3.0
# A product is looked for first at the points it would have in so many marketplaces, those with most products.
COMMON_MARKETS = 4


# Bytes that are free before anything is written: Edge's files have holes, which are filled through mapped memory.
ROOM = 32 * 2**20


class EdgeIndex:
    """A VectorIndex in `root`, opened on first use; see `VectorIndex` for the methods."""

    local = True

    def __init__(self, root: Path, patience: float = PATIENCE_SECONDS) -> None:
        """Create the index; collections are opened when they are used.

        Args:
            root: Folder of the collections.
            patience: Seconds to wait for other processes that hold a collection.
        """
        self._root = root
        self._patience = patience
        self._shards = Shards(root, patience)
        self._files = JsonFiles(root)
        self._verified_ef: dict[str, int] = {}
        self._markets: dict[str, list[str]] = {}

    def create(self, collection: str, config: CollectionConfig) -> None:
        """Create an empty shard, which appears whole or not at all, and keep it open for writing."""
        folder = self._root / collection
        if not folder.exists():
            with self._shards.lock(collection, exclusive=True):
                if not folder.exists():  # still
                    self._create(collection, config)
        same_config(collection, self._config(collection), config)
        with self._shards.using(collection, "open", writable=True):
            pass

    def _create(self, collection: str, config: CollectionConfig) -> None:
        for abandoned in self._root.glob(f".{collection}.*"):  # by a process that was killed
            shutil.rmtree(abandoned)
        with explained(f"create {collection}"), new_folder(self._root / collection) as staging:
            require_room(staging, 2 * ROOM)
            create_shard(staging / "shard", config)
            text = json.dumps(asdict(config), indent=2)
            (staging / "collection.json").write_text(text, encoding="utf-8")

    def upsert(self, collection: str, batch: PointBatch) -> None:
        """Write the batch; it is durable after `build` or `close`."""
        self._write(collection, batch, edge.UpdateMode.Upsert)

    def insert(self, collection: str, batch: PointBatch) -> None:
        """Write the new points of the batch; they are durable after `build` or `close`."""
        self._write(collection, batch, edge.UpdateMode.InsertOnly)

    def _write(self, collection: str, batch: PointBatch, mode: edge.UpdateMode) -> None:
        # Rows as memory, which Edge reads as it does a list, without a Python number for each of theirs.
        rows: list[list[Any]] = [[memoryview(row) for row in side] for side in (batch.source, batch.target)]
        points = [
            edge.Point(id=id_, vector={SOURCE: source, TARGET: target}, payload=payload)
            for id_, source, target, payload in zip(batch.ids, *rows, batch.payloads, strict=True)
        ]
        collection = self._existing(collection)
        with self._shards.using(collection, "upload to", writable=True) as shard:
            require_room(self._root, ROOM + 4 * batch.source.nbytes)
            shard.update(edge.UpdateOperation.upsert_points(points, update_mode=mode))

    def build(self, collection: str, quantization: Quantization = "none") -> None:
        """Run the optimisers, which Edge never does by itself, and release the collection for readers."""
        collection = self._existing(collection)
        config = None
        if quantization != "none" or QUANTIZATION in self.notes(collection):
            # Noted first: a shard that may have another quantisation than its collection asks for has a note.
            self.annotate(collection, {QUANTIZATION: quantization})
            config = shard_config(self._config(collection), quantization)
        with self._shards.using(collection, "index", writable=True, config=config) as shard:
            shard.optimize()
        self._shards.release(collection)

    def count(self, collection: str, filters: Filters | None = None) -> int:
        """Return the exact number of points, of those that meet the filters."""
        collection = self._existing(collection)
        with self._shards.using(collection, "count") as shard:
            return shard.count(edge.CountRequest(exact=True, filter=as_filter(filters)))

    def metadata(self, collection: str) -> dict[str, str]:
        """Return the metadata that the collection was created with."""
        return self._config(self._resolve(collection)).metadata

    def notes(self, collection: str) -> dict[str, str]:
        """Return the contents of `notes.json`."""
        return self._files.read(self._existing(collection), "notes.json") or {}

    def annotate(self, collection: str, notes: Mapping[str, str]) -> None:
        """Rename new notes over the old ones."""
        text = json.dumps(self.notes(collection) | dict(notes), indent=2)
        write_text(self._root / self._existing(collection) / "notes.json", text)
        self._forget(collection)

    def search_ef(self, collection: str) -> int | None:
        """Return the ef that the collection was verified with."""
        if collection not in self._verified_ef:
            noted = self.notes(collection).get(EF)
            if noted is None:
                return None
            self._verified_ef[collection] = int(noted)
        return self._verified_ef[collection]

    def pages(self, collection: str, rows: int) -> Iterator[tuple[list[str], FloatArray, FloatArray]]:
        """Scroll through the collection."""
        collection = self._existing(collection)
        offset: Any = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=rows, with_payload=False, with_vector=[SOURCE, TARGET]
            )
            with self._shards.using(collection, "read") as shard:
                records, offset = shard.scroll(request)
            if records:
                yield as_arrays((str(record.id), record.vector) for record in records)
            if offset is None:
                return

    def vectors(self, collection: str, ids: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the source and the target vectors [n, d] float32 of these points, in their order."""
        collection = self._existing(collection)
        with self._shards.using(collection, "read") as shard:
            records = shard.retrieve(list(ids), with_payload=False, with_vector=[SOURCE, TARGET])
        stored = ((str(record.id), record.vector) for record in records)
        _, source, target = as_arrays(in_order(collection, ids, stored))
        return source, target

    def find(self, collection: str, product_id: str) -> dict[str, Any] | None:
        """Return the payload of the product with this id, or None."""
        collection = self._existing(collection)
        with self._shards.using(collection, "read") as shard:
            record = shard_queries.find(shard, product_id, self._common_markets(shard, collection))
        return record.payload if record else None

    def payloads(
        self, collection: str, ids: Sequence[str], filters: Filters | None = None
    ) -> list[dict[str, Any] | None]:
        """Return the payload of each of these points; None where it is not there or does not meet the filters."""
        collection = self._existing(collection)
        with self._shards.using(collection, "read") as shard:
            return shard_queries.payloads(shard, list(ids), as_filter(filters))

    def values(self, collection: str, field: str, most: int = 1000) -> dict[str, int]:
        """Return the values of a payload field with most products → number of products."""
        collection = self._existing(collection)
        with self._shards.using(collection, "count") as shard:
            return shard_queries.values(shard, field, most)

    def search(
        self,
        collection: str,
        queries: FloatArray,
        k: int,
        filters: Filters | None = None,
        ef: int | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return the k best targets of each query vector, best first."""
        collection = self._existing(collection)
        conditions, parameters = as_filter(filters), search_params(ef, exact=exact)
        with self._shards.using(collection, "search") as shard:
            if len(queries) == 1:
                return [shard_queries.search(shard, queries[0].tolist(), k, conditions, parameters)]
            return shard_queries.search_all(shard, queries.tolist(), k, conditions, parameters)

    def related(
        self, collection: str, product_id: str, k: int, filters: Filters | None = None, ef: int | None = None
    ) -> Neighbours | None:
        """Return the k best targets of a product's source vector, or None if there is no such product."""
        collection = self._existing(collection)
        conditions, parameters = as_filter(filters), search_params(ef)
        with self._shards.using(collection, "search") as shard:
            record = shard_queries.find(shard, product_id, self._common_markets(shard, collection), [SOURCE])
            if record is None:
                return None
            vectors: Any = record.vector
            # One more than wanted, and the product itself left out here: as a condition of the search, every
            # candidate would be asked whether it meets it, and a small collection scanned whole.
            hits = shard_queries.search(shard, vectors[SOURCE], k + 1, conditions, parameters)
        payload: Any = record.payload
        others = [hit for hit in hits if hit.product_id != product_id or hit.payload != payload]
        return Neighbours(payload, others[:k])

    def _common_markets(self, shard: edge.EdgeShard, collection: str) -> list[str]:
        # Points may yet be written that make others common: a product of theirs is then found more slowly.
        if collection not in self._markets:
            self._markets[collection] = shard_queries.common_markets(shard, COMMON_MARKETS)
        return self._markets[collection]

    def switch_alias(self, alias: str, collection: str) -> None:
        """Rename a new alias map over the old one, then read it back."""
        self._config(collection)
        file = self._root / ".locks" / ".aliases"
        with take_lock(file, "the map of aliases", exclusive=True, patience=self._patience):
            changed = self._aliases() | {alias: collection}
            write_text(self._root / "aliases.json", json.dumps(changed, indent=2, sort_keys=True))
            if self._aliases().get(alias) != collection:
                raise StoreError(f"alias {alias} does not point at {collection} after it was set to")

    def aliases(self) -> dict[str, str]:
        """Return alias → collection, read from disk each time, so that switches of other processes are seen."""
        aliases = self._aliases()
        self._shards.release_idle(aliases.values())
        return aliases

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(file.parent.name for file in self._root.glob("[!.]*/collection.json"))

    def drop(self, collection: str) -> None:
        """Delete a collection that no alias points at and, after some patience, nobody has open."""
        self._config(collection)
        live = [alias for alias, pointed in self._aliases().items() if pointed == collection]
        if live:
            raise StateError(f"{collection} is live as {live[0]}", "promote another release first")
        self._shards.release(collection)
        with self._shards.lock(collection, exclusive=True):
            # Gone in one step: half a collection would be neither there nor free to be created.
            removed = (self._root / collection).rename(self._root / f".{collection}.{uuid.uuid4().hex}")
            shutil.rmtree(removed)
        self._forget(collection)

    def close(self) -> None:
        """Write what is pending and release every collection."""
        self._shards.release_all()

    def _forget(self, collection: str) -> None:
        self._verified_ef.pop(collection, None)
        self._markets.pop(collection, None)

    def _aliases(self) -> dict[str, str]:
        return self._files.read("aliases.json") or {}

    def _resolve(self, name: str) -> str:
        return self.aliases().get(name, name)

    def _existing(self, name: str) -> str:
        """Return the collection of that name or alias; an error that lists the others if there is none."""
        if self._shards.only(name):  # then its files need not be looked at
            return name
        collection = self._resolve(name)
        self._config(collection)
        return collection

    def _config(self, collection: str) -> CollectionConfig:
        config = self._files.read(collection, "collection.json")
        if config is None:
            raise NotFoundError(
                f"no collection or alias {collection} in {self._root}",
                f"there are: {', '.join([*self._aliases(), *self.collections()]) or 'none'}",
            )
        return CollectionConfig(**config)
