"""Quantisation on a real shard of Qdrant Edge, its choice by trials, and the requests to a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from tests.vectors.conftest import Catalogue
from twinvec.settings import QdrantSettings, Settings
from twinvec.vectors import CollectionConfig, VectorIndex, Verification, open_index, publish
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.index import OVERSAMPLING, TRIALS
from twinvec.vectors.quantization import KINDS, by_size, choose
from twinvec.vectors.recall import Trial
from twinvec.vectors.server import ServerIndex

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs")
NAME = "related_products__v1"
POINTS, DIMENSION = 700, 26  # a length that no code divides


@pytest.fixture(scope="module")
def random(make_catalogue: Callable[..., Catalogue]) -> Catalogue:
    return make_catalogue(POINTS, DIMENSION, seed=20261127)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[EdgeIndex]:
    index = EdgeIndex(tmp_path)
    yield index
    index.close()


def settings(quantization: str, **changed: Any) -> QdrantSettings:
    """Every product is asked, and the graph is used whatever the size."""
    values = {"full_scan_threshold": 1, "min_recall": 0.0, "verify_sample": POINTS, "ef": 64} | changed
    return QdrantSettings.model_validate({"quantization": quantization, **values})


def put(index: VectorIndex, catalogue: Catalogue, options: QdrantSettings, attempt: int = 1) -> Verification:
    return publish(index, NAME, catalogue.batches(), POINTS, DIMENSION, {"a": "b"}, options, attempt=attempt)


@pytest.mark.parametrize("quantization", KINDS)
def test_codes_are_searched_and_exact_search_ignores_them(
    edge: EdgeIndex, random: Catalogue, tmp_path: Path, quantization: str
) -> None:
    found = put(edge, random, settings(quantization))
    best = [set(random.best(row, 10)[0]) for row in range(POINTS)]

    def recall(**asked: Any) -> float:
        hits = edge.search(NAME, random.source, 10, **asked)
        return float(
            np.mean(
                [len({hit.product_id for hit in got} & one) / 10 for got, one in zip(hits, best, strict=True)]
            )
        )

    assert recall(exact=True) == 1.0
    assert found.recall_at_10 == pytest.approx(recall(ef=found.ef))
    assert found.recall_at_10 < 0.95 if quantization == "binary" else found.recall_at_10 > 0.95
    _, target = edge.vectors(NAME, random.points().ids)
    np.testing.assert_array_equal(target, random.target)
    assert (found.quantization, found.trials) == (quantization, {})
    noted = {} if quantization == "none" else {"quantization": quantization}
    assert edge.notes(NAME) == {"attempt": "1", "ef": "64"} | noted

    codes = list(tmp_path.glob(f"{NAME}/shard/segments/*/vector_storage-target/quantized.data"))
    assert len(codes) == (quantization != "none")
    codebook = 1024 * DIMENSION if quantization == "product" else 0
    for file in codes:
        assert file.stat().st_size + codebook == found.code_bytes


def test_the_smallest_that_loses_little_is_taken(edge: EdgeIndex, random: Catalogue) -> None:
    found = put(edge, random, settings("auto", quantization_loss=0.02))
    recalls = {name: trial.recall_at_10 for name, trial in found.trials.items()}
    assert list(recalls) == ["none", "binary", "scalar", "product"][: len(recalls)]
    assert found.quantization == list(recalls)[-1]
    assert found.recall_at_10 == recalls[found.quantization] >= 0.98 * recalls["none"]
    assert found.code_bytes == found.trials[found.quantization].code_bytes
    assert edge.notes(NAME)["quantization"] == found.quantization


def test_vectors_that_are_scanned_whole_are_not_quantised(edge: EdgeIndex, random: Catalogue) -> None:
    found = put(edge, random, settings("auto", full_scan_threshold=10_000))
    assert (found.quantization, found.code_bytes, found.trials) == ("none", 4 * DIMENSION * POINTS, {})
    assert edge.notes(NAME) == {"attempt": "1", "ef": "64"}


class Interrupted(BaseException):
    """An exception that no publish catches."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_choice_goes_on_where_it_was(
    edge: EdgeIndex, random: Catalogue, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Every publish is interrupted at its second build, before or after the results of the first were noted."""
    built: list[str] = []
    original, options = edge.build, settings("auto", quantization_loss=0.0, verify_sample=50)

    def build(collection: str, quantization: Any) -> None:
        if when == "before" and len(built) == 1:
            raise Interrupted
        original(collection, quantization)
        built.append(quantization)
        if when == "after" and len(built) == 2:
            raise Interrupted

    monkeypatch.setattr(edge, "build", build)
    noted: dict[str, Any] = {}
    for attempt in range(1, 20):
        built.clear()
        try:
            found = put(edge, random, options, attempt)
        except Interrupted:
            kept = json.loads(edge.notes(NAME)[TRIALS])
            assert noted.items() <= kept.items(), "a trial that was noted is not done again"
            assert len(kept) == len(noted) + 1
            noted = kept
        else:
            break
    assert built == [found.quantization], "the last one had nothing left to try"
    assert found.quantization == choose(found.trials, by_size(POINTS, DIMENSION), options)
    assert {name: vars(trial) for name, trial in found.trials.items()} == noted


def test_a_codebook_counts_where_there_are_few_points() -> None:
    assert by_size(700, 26) == ["binary", "scalar", "product", "none"]
    assert by_size(7_000, 128) == ["binary", "product", "scalar", "none"]
    assert by_size(1_000_000, 26) == ["product", "binary", "scalar", "none"]


def test_the_choice_is_by_loss_and_by_the_least_recall_under_a_filter() -> None:
    def trial(recall: float, least: float) -> Trial:
        return Trial(recall, least, 128, 1)

    options = QdrantSettings(quantization="auto", quantization_loss=0.1, min_recall=0.5)
    trials = {"none": trial(0.9, 0.6)}
    assert choose({}, KINDS, options) is None
    assert choose(trials, KINDS, options) is None
    trials["binary"] = trial(0.8, 0.6)
    assert choose(trials, KINDS, options) is None, "0.8 is less than 0.9 of 0.9"
    trials["product"] = trial(0.82, 0.4)
    assert choose(trials, KINDS, options) is None, "a filter is under min_recall"
    assert choose(trials | {"scalar": trial(0.82, 0.5)}, KINDS, options) == "scalar"
    assert choose(trials | {"scalar": trial(0.7, 0.5)}, KINDS, options) == "none"
    assert choose(trials | {"binary": trial(0.81 + 1e-9, 0.5)}, KINDS, options) == "binary"


def test_a_server_is_asked_for_codes_and_for_rescoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the requests are checked: there is no server here."""
    index = open_index(Settings(qdrant={"url": "http://qdrant.test"}))
    assert isinstance(index, ServerIndex)
    client: Any = index._client
    sent: list[dict[str, Any]] = []
    notes: dict[str, str] = {}
    green = SimpleNamespace(status=models.CollectionStatus.GREEN, config=SimpleNamespace(metadata=notes))
    monkeypatch.setattr(index, "_config", lambda _name: CollectionConfig(4, 16, 100, 100))
    monkeypatch.setattr(client, "get_collection", lambda _name: green)
    monkeypatch.setattr(client, "update_collection", lambda _name, **values: sent.append(values))
    monkeypatch.setattr("twinvec.vectors.server.POLL_SECONDS", 0.0)
    for quantization in ("none", "scalar", "product", "binary", "none"):
        index.build(NAME, quantization)
        notes.update(sent[-1].get("metadata", {}))
    assert "vectors_config" not in sent[0], "a collection that never had codes is built as before"
    asked = [
        json.loads(each["vectors_config"]["target"].model_dump_json(exclude_none=True)) for each in sent[1:]
    ]
    assert [each["quantization_config"] for each in asked] == [
        {"scalar": {"type": "int8", "always_ram": True}},
        {"product": {"compression": "x16", "always_ram": True}},
        {"binary": {"always_ram": True}},
        "Disabled",
    ]
    assert notes == {"quantization": "none"}

    searched: list[models.QueryRequest] = []

    def search(_name: str, requests: list[models.QueryRequest]) -> list[Any]:
        searched.extend(requests)
        return []

    monkeypatch.setattr(client, "query_batch_points", search)
    for exact in (False, True):
        index.search(NAME, np.zeros((1, 4), np.float32), 10, ef=128, exact=exact)
    params = [each.params.model_dump(exclude_none=True) for each in searched if each.params]
    assert [each["quantization"] for each in params] == [
        {"ignore": exact, "rescore": True, "oversampling": OVERSAMPLING} for exact in (False, True)
    ]
    assert [each["exact"] for each in params] == [False, True]
