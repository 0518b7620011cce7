"""A Qdrant server through qdrant-client, or the client's in-memory mode, which tests use."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from twinvec.errors import NotFoundError, StateError, StoreError
from twinvec.vectors.index import (
    EF,
    FLOAT_FIELDS,
    KEYWORD_FIELDS,
    NOTES,
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
    stored_points,
)
from twinvec.vectors.points import FloatArray, PointBatch
from twinvec.vectors.server_requests import (
    as_filter,
    as_hit,
    quantization_config,
    search_params,
    vector_params,
)

POLL_SECONDS = 0.2


def connect(url: str, api_key: str | None, timeout: int) -> QdrantClient:
    """Return a client of the server at `url`; nothing is sent yet.

    Args:
        timeout: Seconds before a call is given up.
    """
    return QdrantClient(url=url, api_key=api_key, timeout=timeout, check_compatibility=False)


@dataclass(frozen=True)
class Layout:
    """Places of a new collection's data on the machines of a server.

    Attributes:
        shard_number: Number of shards; None is one a machine.
        replication_factor: Number of machines that hold each shard; None is the server's own.
        write_consistency_factor: Number of machines of a shard that have to accept a write; None is the server's own.
        on_disk: Whether vectors, graphs and payloads are on disk, and not in memory.
    """

    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    on_disk: bool = False

    @property
    def spread(self) -> bool:
        """True if a collection may be on several machines."""
        return (self.shard_number or 1) > 1 or (self.replication_factor or 1) > 1


class ServerIndex:
    """A VectorIndex on the server of `client`; see `VectorIndex` for the methods."""

    local = False

    def __init__(self, client: QdrantClient, layout: Layout = Layout()) -> None:
        self._client = client
        self._layout = layout
        self._verified_ef: dict[str, int] = {}

    def create(self, collection: str, config: CollectionConfig) -> None:
        """Create the collection with indexing switched off, and its payload indexes."""
        with _explained(f"create {collection}"):
            if self._client.collection_exists(collection):
                same_config(collection, self._config(collection), config)
            else:
                self._client.create_collection(
                    collection,
                    vectors_config={
                        SOURCE: vector_params(config, 0, self._layout.on_disk),
                        TARGET: vector_params(config, config.m, self._layout.on_disk),
                    },
                    shard_number=self._layout.shard_number,
                    replication_factor=self._layout.replication_factor,
                    write_consistency_factor=self._layout.write_consistency_factor,
                    on_disk_payload=self._layout.on_disk or None,
                    optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
                    metadata=dict(config.metadata),
                )
            # Repeated on an existing collection: the first try may have ended before these.
            for name in KEYWORD_FIELDS:
                self._client.create_payload_index(collection, name, models.PayloadSchemaType.KEYWORD)
            for name in FLOAT_FIELDS:
                self._client.create_payload_index(collection, name, models.PayloadSchemaType.FLOAT)

    def upsert(self, collection: str, batch: PointBatch) -> None:
        """Write the batch and wait until the server has it."""
        self._write(collection, batch, models.UpdateMode.UPSERT)

    def insert(self, collection: str, batch: PointBatch) -> None:
        """Write the new points of the batch. The server decides for each point, so that no writer is late."""
        self._write(collection, batch, models.UpdateMode.INSERT_ONLY)

    def _write(self, collection: str, batch: PointBatch, mode: models.UpdateMode) -> None:
        vectors: dict[str, Any] = {SOURCE: batch.source.tolist(), TARGET: batch.target.tolist()}
        points = models.Batch(ids=list(batch.ids), vectors=vectors, payloads=batch.payloads)
        with _explained(f"upload to {collection}"):
            self._client.upsert(collection, points, wait=True, update_mode=mode)

    def build(self, collection: str, quantization: Quantization = "none") -> None:
        """Switch indexing on and wait until the server has nothing left to optimise, and all shards answer."""
        with _explained(f"index {collection}"):
            threshold = self._config(collection).full_scan_threshold
            changed: dict[str, Any] = {}
            if quantization != "none" or QUANTIZATION in self.notes(collection):
                codes = models.VectorParamsDiff(quantization_config=quantization_config(quantization))
                changed = {"vectors_config": {TARGET: codes}, "metadata": {QUANTIZATION: quantization}}
            self._client.update_collection(
                collection,
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=threshold),
                **changed,
            )
            # The optimiser starts a moment after the call: green once may mean not begun.
            green = 0
            while green < 2:
                time.sleep(POLL_SECONDS)
                info = self._client.get_collection(collection)
                if info.status == models.CollectionStatus.RED:
                    raise StoreError(
                        f"Qdrant failed to index {collection}: {info.optimizer_status}",
                        "see the server's log and its free disk space, then publish again",
                    )
                ready = info.status == models.CollectionStatus.GREEN and self._all_shards_serve(collection)
                green = green + 1 if ready else 0

    def _all_shards_serve(self, collection: str) -> bool:
        """Return True if every replica of every shard answers; one that is copied or lost does not."""
        if not self._layout.spread:
            return True
        cluster = self._client.collection_cluster_info(collection)
        states = [shard.state for shard in cluster.local_shards]
        states += [shard.state for shard in cluster.remote_shards]
        if models.ReplicaState.DEAD in states:
            raise StoreError(
                f"a replica of a shard of {collection} is dead",
                "bring its machine back, or move the shard, then publish again",
            )
        return not cluster.shard_transfers and all(state == models.ReplicaState.ACTIVE for state in states)

    def count(self, collection: str, filters: Filters | None = None) -> int:
        """Return the exact number of points, of those that meet the filters."""
        with _explained(f"count {collection}"):
            return self._client.count(collection, count_filter=as_filter(filters), exact=True).count

    def metadata(self, collection: str) -> dict[str, str]:
        """Return the metadata that the collection was created with."""
        with _explained(f"read {collection}"):
            return self._config(collection).metadata

    def notes(self, collection: str) -> dict[str, str]:
        """Return the part of the server's metadata of the collection that may change."""
        with _explained(f"read {collection}"):
            metadata = self._client.get_collection(collection).config.metadata or {}
        return {name: value for name, value in metadata.items() if name in NOTES}

    def annotate(self, collection: str, notes: Mapping[str, str]) -> None:
        """Merge the notes into the server's metadata of the collection."""
        with _explained(f"annotate {collection}"):
            self._client.update_collection(collection, metadata=dict(notes))

    def search_ef(self, collection: str) -> int | None:
        """Return the ef that the collection was verified with; asked of the server until it has one."""
        if collection not in self._verified_ef:
            noted = self.notes(collection).get(EF)
            if noted is None:
                return None
            self._verified_ef[collection] = int(noted)
        return self._verified_ef[collection]

    def pages(self, collection: str, rows: int) -> Iterator[tuple[list[str], FloatArray, FloatArray]]:
        """Scroll through the collection."""
        offset: Any = None
        while True:
            with _explained(f"read {collection}"):
                records, offset = self._client.scroll(
                    collection, limit=rows, offset=offset, with_payload=False, with_vectors=[SOURCE, TARGET]
                )
            if records:
                yield as_arrays((str(record.id), record.vector) for record in records)
            if offset is None:
                return

    def vectors(self, collection: str, ids: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the source and the target vectors [n, d] float32 of these points, in their order."""
        with _explained(f"read {collection}"):
            records = self._client.retrieve(
                collection, list(ids), with_payload=False, with_vectors=[SOURCE, TARGET]
            )
        stored = ((str(record.id), record.vector) for record in records)
        _, source, target = as_arrays(in_order(collection, ids, stored))
        return source, target

    def find(self, collection: str, product_id: str) -> dict[str, Any] | None:
        """Return the payload of the product with this id, or None."""
        match = models.MatchValue(value=product_id)
        condition = models.Filter(must=[models.FieldCondition(key="product_id", match=match)])
        with _explained(f"read {collection}"):
            records, _ = self._client.scroll(collection, condition, limit=1, with_payload=True)
        return records[0].payload if records else None

    def payloads(
        self, collection: str, ids: Sequence[str], filters: Filters | None = None
    ) -> list[dict[str, Any] | None]:
        """Return the payload of each of these points; None where it is not there or does not meet the filters."""
        conditions = as_filter(filters)
        with _explained(f"read {collection}"):
            if conditions is None:
                records = self._client.retrieve(collection, list(ids), with_payload=True)
            else:
                among = models.Filter(must=[models.HasIdCondition(has_id=list(ids)), conditions])
                records, _ = self._client.scroll(collection, among, limit=len(ids), with_payload=True)
        stored = {str(record.id): record.payload for record in records}
        return [stored.get(id_) for id_ in ids]

    def values(self, collection: str, field: str, most: int = 1000) -> dict[str, int]:
        """Return the values of a payload field with most products → number of products."""
        with _explained(f"count {field} of {collection}"):
            schema = self._client.get_collection(collection).payload_schema
            # In-memory mode has no schema, and counts fields without an index.
            if schema and field not in schema:
                return {}
            hits = self._client.facet(collection, field, limit=most, exact=True).hits
        return {str(hit.value): hit.count for hit in hits}

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
        requests = [
            models.QueryRequest(
                query=query,
                using=TARGET,
                filter=as_filter(filters),
                params=search_params(ef, exact=exact),
                limit=k,
                with_payload=True,
            )
            for query in queries.tolist()
        ]
        with _explained(f"search {collection}"):
            responses = self._client.query_batch_points(collection, requests)
        return [list(map(as_hit, response.points)) for response in responses]

    def related(
        self, collection: str, product_id: str, k: int, filters: Filters | None = None, ef: int | None = None
    ) -> Neighbours | None:
        """Return the k best targets of a product's source vector, or None; the server looks the vector up."""
        payload = self.find(collection, product_id)
        if payload is None:
            return None
        (point,) = stored_points(self, collection, [(payload["marketplace"], product_id)])
        with _explained(f"search {collection}"):
            response = self._client.query_points(
                collection,
                query=point,
                using=TARGET,
                lookup_from=models.LookupLocation(collection=collection, vector=SOURCE),
                # The server leaves the point out by itself only if both collections have the same name
                # letter for letter, which an alias in `lookup_from` never has.
                query_filter=as_filter(filters, without=point),
                search_params=search_params(ef),
                limit=k,
                with_payload=True,
            )
        return Neighbours(payload, list(map(as_hit, response.points)))

    def switch_alias(self, alias: str, collection: str) -> None:
        """Delete and create the alias in one call, then read it back."""
        with _explained(f"point {alias} at {collection}"):
            self._client.get_collection(collection)
            remove = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
            add = models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=collection, alias_name=alias)
            )
            self._client.update_collection_aliases([remove, add] if alias in self.aliases() else [add])
        if self.aliases().get(alias) != collection:
            raise StoreError(f"alias {alias} does not point at {collection} after it was set to")

    def aliases(self) -> dict[str, str]:
        """Return alias → collection."""
        with _explained("list the aliases"):
            return {item.alias_name: item.collection_name for item in self._client.get_aliases().aliases}

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        with _explained("list the collections"):
            return sorted(item.name for item in self._client.get_collections().collections)

    def drop(self, collection: str) -> None:
        """Delete a collection that no alias points at."""
        live = [alias for alias, pointed in self.aliases().items() if pointed == collection]
        if live:
            raise StateError(f"{collection} is live as {live[0]}", "promote another release first")
        with _explained(f"drop {collection}"):
            self._client.get_collection(collection)
            self._client.delete_collection(collection)
        self._verified_ef.pop(collection, None)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _config(self, collection: str) -> CollectionConfig:
        config = self._client.get_collection(collection).config
        vectors = config.params.vectors
        target = vectors.get(TARGET) if isinstance(vectors, dict) else None
        if target is None or target.hnsw_config is None:
            raise StoreError(
                f"collection {collection} was not made by Twinvec: it has no vector named {TARGET}",
                "set another `release` name, or drop the collection",
            )
        graph = target.hnsw_config
        return CollectionConfig(
            dimension=target.size,
            m=graph.m or 0,
            ef_construct=graph.ef_construct or 0,
            full_scan_threshold=graph.full_scan_threshold or 0,
            metadata={name: text for name, text in (config.metadata or {}).items() if name not in NOTES},
        )


@contextmanager
def _explained(action: str) -> Iterator[None]:
    # In-memory mode raises ValueError where the server answers 4xx.
    try:
        yield
    except (ApiException, ValueError) as error:
        missing = isinstance(error, UnexpectedResponse) and error.status_code == 404
        if missing or "not found" in str(error):
            raise NotFoundError(
                f"Qdrant could not {action}: {error}", "`twinvec status` lists the releases there are"
            ) from error
        raise StoreError(
            f"Qdrant could not {action}: {error}", "see that the server at qdrant.url runs and takes the key"
        ) from error
