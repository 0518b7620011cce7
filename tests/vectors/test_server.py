"""Queries of services without Twinvec, and errors of an unreachable server."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from tests.vectors.conftest import Catalogue
from twinvec.errors import StoreError
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import CollectionConfig, open_index, point_id, publish, server
from twinvec.vectors.server import ServerIndex

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs")


@pytest.fixture(params=["memory", "server"])
def client(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_client")


def test_a_service_needs_one_call_and_no_vector(
    client: QdrantClient, collection: str, catalogue: Catalogue
) -> None:
    """The call of the README, with plain qdrant-client, against an alias."""
    index = ServerIndex(client)
    alias = f"{collection}_live"
    publish(index, collection, catalogue.batches(), 337, 13, {}, QdrantSettings(verify_sample=20))
    index.switch_alias(alias, collection)
    product = point_id(catalogue.marketplace[42], "B00042")

    response = client.query_points(
        alias,
        query=product,
        using="target",
        lookup_from=models.LookupLocation(collection=alias, vector="source"),
        query_filter=models.Filter(must_not=[models.HasIdCondition(has_id=[product])]),
        limit=10,
    )

    expected = [other for other in catalogue.best(42, 11)[0] if other != "B00042"][:10]
    assert [(point.payload or {})["product_id"] for point in response.points] == expected
    related = index.related(alias, "B00042", 10)
    assert related is not None
    assert [hit.product_id for hit in related.hits] == expected


def test_the_collection_is_laid_out_as_designed(
    client: QdrantClient, collection: str, catalogue: Catalogue
) -> None:
    index = ServerIndex(client)
    publish(
        index, collection, catalogue.batches(), 337, 13, {"manifest": "x"}, QdrantSettings(verify_sample=20)
    )
    config = client.get_collection(collection).config
    assert isinstance(config.params.vectors, dict)
    source, target = config.params.vectors["source"], config.params.vectors["target"]
    assert source.hnsw_config is not None
    assert target.hnsw_config is not None
    assert (source.size, source.distance, source.hnsw_config.m) == (13, models.Distance.DOT, 0)
    assert (target.size, target.distance, target.hnsw_config.m) == (13, models.Distance.DOT, 16)
    assert config.metadata == {"manifest": "x", "attempt": "1", "ef": "128"}


def test_payload_indexes_are_there_on_a_server(
    server_client: QdrantClient, collection: str, catalogue: Catalogue
) -> None:
    publish(
        ServerIndex(server_client),
        collection,
        catalogue.batches(),
        337,
        13,
        {},
        QdrantSettings(verify_sample=20),
    )
    schema = server_client.get_collection(collection).payload_schema
    assert {name: field.data_type.value for name, field in schema.items()} == {
        "product_id": "keyword",
        "category": "keyword",
        "marketplace": "keyword",
        "release": "keyword",
        "currency": "keyword",
        "brand": "keyword",
        "price": "float",
    }


def test_a_server_that_does_not_answer_is_explained(tmp_path: Path) -> None:
    qdrant = QdrantSettings(url="http://127.0.0.1:9", timeout=1)
    index = open_index(Settings(home=tmp_path, qdrant=qdrant))
    assert isinstance(index, ServerIndex)
    with pytest.raises(StoreError, match=r"could not list the collections[\s\S]*qdrant.url"):
        index.collections()
    index.close()


def test_the_layout_on_several_machines_is_requested_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the requests are checked: there is no cluster of Qdrant here."""
    settings = Settings(
        qdrant={
            "url": "http://qdrant.test",
            "shard_number": 6,
            "replication_factor": 2,
            "write_consistency_factor": 2,
            "on_disk": True,
        }
    )
    index = open_index(settings)
    assert isinstance(index, ServerIndex)
    client: Any = index._client
    sent: dict[str, Any] = {}
    monkeypatch.setattr(client, "collection_exists", lambda _name: False)
    monkeypatch.setattr(client, "create_payload_index", lambda *_: None)
    monkeypatch.setattr(client, "create_collection", lambda _name, **values: sent.update(values))
    index.create("shop__v1", CollectionConfig(4, 16, 100, 100))
    assert (sent["shard_number"], sent["replication_factor"], sent["write_consistency_factor"]) == (6, 2, 2)
    assert sent["on_disk_payload"] is True
    for vector in sent["vectors_config"].values():
        assert vector.on_disk is True
        assert vector.hnsw_config.on_disk is True

    states = [["Active", "Partial"], ["Active", "Initializing"], ["Active", "Active"], ["Active", "Active"]]
    asked: list[str] = []

    def shards(name: str) -> models.CollectionClusterInfo:
        asked.append(name)
        local, remote = states[len(asked) - 1]
        return models.CollectionClusterInfo(
            peer_id=1,
            shard_count=6,
            local_shards=[
                models.LocalShardInfo(shard_id=0, points_count=1, state=models.ReplicaState(local))
            ],
            remote_shards=[models.RemoteShardInfo(shard_id=0, peer_id=2, state=models.ReplicaState(remote))],
            shard_transfers=[],
        )

    config = CollectionConfig(4, 16, 100, 100)
    monkeypatch.setattr(index, "_config", lambda _name: config)
    monkeypatch.setattr(client, "update_collection", lambda *_, **__: None)
    green = SimpleNamespace(status=models.CollectionStatus.GREEN, config=SimpleNamespace(metadata={}))
    monkeypatch.setattr(client, "get_collection", lambda _name: green)
    monkeypatch.setattr(client, "collection_cluster_info", shards)
    monkeypatch.setattr(server, "POLL_SECONDS", 0.0)
    index.build("shop__v1")
    assert len(asked) == 4, "it waits until all replicas have been active twice"
    states[:] = [["Active", "Dead"]]
    asked.clear()
    with pytest.raises(StoreError, match="dead"):
        index.build("shop__v1")
