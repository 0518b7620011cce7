from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.vectors.conftest import Catalogue
from twinvec.errors import StoreError, VerificationError
from twinvec.settings import QdrantSettings
from twinvec.vectors import PointBatch, point_id, publish
from twinvec.vectors.index import VectorIndex
from twinvec.vectors.publish import SupersededError
from twinvec.vectors.verify import Verification

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode performs")
SETTINGS = QdrantSettings(verify_sample=50)
METADATA = {"manifest": "0123456789abcdef"}


def publish_catalogue(
    index: VectorIndex, collection: str, catalogue: Catalogue, **changed: Any
) -> Verification:
    arguments: dict[str, Any] = {
        "batches": catalogue.batches(),
        "expected": len(catalogue.product_id),
        "dimension": catalogue.source.shape[1],
        "metadata": METADATA,
        "settings": SETTINGS,
    } | changed
    return publish(index, collection, **arguments)


def test_a_good_publish_is_verified_and_moves_no_alias(
    index: VectorIndex, collection: str, catalogue: Catalogue
) -> None:
    catalogue.source[:34] = 0
    steps: list[tuple[str, int, int]] = []
    before = index.aliases()
    found = publish_catalogue(index, collection, catalogue, progress=lambda *step: steps.append(step))
    assert (found.points, found.sample, found.ef) == (337, 50, SETTINGS.ef)
    assert found.nonzero == pytest.approx(303 / 337)
    assert found.recall_at_10 == 1.0  # under the full-scan threshold every search is exact
    assert index.metadata(collection) == METADATA
    assert index.aliases() == before
    uploads = [done for step, done, _ in steps if step == "upload"]
    assert uploads == [100, 200, 300, 337]
    assert [step for step, *_ in steps][4:] == ["index", "index", "verify"]
    assert index.notes(collection) == {"attempt": "1", "ef": "128"}
    assert index.search_ef(collection) == 128


@pytest.mark.parametrize("expected", [336, 338])
def test_a_wrong_count_names_both_figures(
    index: VectorIndex, collection: str, catalogue: Catalogue, expected: int
) -> None:
    with pytest.raises(
        VerificationError, match=f"337 products were sent to {collection}, not the {expected}"
    ):
        publish_catalogue(index, collection, catalogue, expected=expected)


def test_nothing_to_publish_creates_nothing(
    index: VectorIndex, collection: str, catalogue: Catalogue
) -> None:
    with pytest.raises(VerificationError, match="nothing to publish"):
        publish_catalogue(index, collection, catalogue, batches=[], expected=0)
    assert collection not in index.collections()


def test_nan_stops_the_upload_and_the_live_release_goes_on(
    index: VectorIndex, collection: str, catalogue: Catalogue
) -> None:
    alias, live = f"{collection}_live", f"{collection}_0"
    publish_catalogue(index, live, catalogue)
    index.switch_alias(alias, live)
    diverged = replace(catalogue, target=catalogue.target.copy())
    diverged.target[250, 3] = np.nan
    with pytest.raises(VerificationError, match=r"1 of 100 products have NaN.*B00250"):
        publish_catalogue(index, collection, diverged)
    assert index.aliases()[alias] == live
    [hits] = index.search(alias, catalogue.source[:1], 10)
    assert [hit.product_id for hit in hits] == catalogue.best(0, 10)[0]


def test_an_interrupted_publish_is_finished_by_the_next_one(
    index: VectorIndex, collection: str, catalogue: Catalogue
) -> None:
    def interrupted() -> Iterator[PointBatch]:
        yield from list(catalogue.batches())[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_catalogue(index, collection, catalogue, batches=interrupted())
    assert index.count(collection) == 200
    found = publish_catalogue(index, collection, catalogue)
    assert found.points == index.count(collection) == 337
    assert publish_catalogue(index, collection, catalogue).points == 337
    related = index.related(collection, "B00300", 10)
    assert related is not None
    assert [hit.product_id for hit in related.hits] == [
        product for product in catalogue.best(300, 11)[0] if product != "B00300"
    ][:10]


def test_other_vectors_cannot_go_into_the_same_collection(
    index: VectorIndex, collection: str, catalogue: Catalogue
) -> None:
    publish_catalogue(index, collection, catalogue)
    with pytest.raises(StoreError, match="metadata"):
        publish_catalogue(index, collection, catalogue, metadata={"manifest": "another"})


def test_vectors_that_come_back_changed_are_found_out(
    index: VectorIndex, collection: str, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = index.insert

    def swap(collection: str, batch: PointBatch) -> None:
        honest(collection, replace(batch, source=batch.target, target=batch.source))

    monkeypatch.setattr(index, "insert", swap)
    with pytest.raises(VerificationError, match="differ from those sent"):
        publish_catalogue(index, collection, catalogue)


def test_an_older_attempt_that_still_runs_stops_and_changes_nothing(
    index: VectorIndex, collection: str, catalogue: Catalogue
) -> None:
    """It is overtaken in the middle of its upload; since then, the release has even been updated."""
    updated = replace(catalogue, target=-catalogue.target)

    def batches() -> Iterator[PointBatch]:
        yield from list(catalogue.batches())[:2]
        assert publish_catalogue(index, collection, catalogue, attempt=2).points == 337
        index.upsert(collection, updated.points(150, 337))
        index.build(collection)
        yield from list(catalogue.batches())[2:]

    with pytest.raises(SupersededError, match=f"attempt 1 to publish {collection} stops: attempt 2"):
        publish_catalogue(index, collection, catalogue, batches=batches())
    # What was on its way when it was overtaken arrives all the same.
    index.insert(collection, catalogue.points(100, 300))
    index.build(collection)
    assert index.count(collection) == 337
    assert index.notes(collection) == {"attempt": "2", "ef": "128"}
    _, target = index.vectors(collection, catalogue.points().ids)
    np.testing.assert_array_equal(target[:150], catalogue.target[:150])
    np.testing.assert_array_equal(target[150:], updated.target[150:])
    with pytest.raises(SupersededError):
        publish_catalogue(index, collection, catalogue)


@pytest.mark.parametrize("damage", ["lost payload", "NaN", "stranger"])
def test_damage_after_the_upload_is_found(
    index: VectorIndex, collection: str, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    honest = index.build

    def build(name: str, *arguments: Any) -> None:
        honest(name, *arguments)
        monkeypatch.undo()
        batch = catalogue.points(7, 8)
        if damage == "lost payload":
            batch = replace(batch, payloads=[{**batch.payloads[0], "category": [], "marketplace": "mars"}])
            index.upsert(name, replace(batch))
        elif damage == "stranger":
            index.upsert(name, replace(batch, ids=[point_id("us", "stranger")]))
        else:
            batch.target[0, 0] = np.nan
            index.upsert(name, batch)
        index.build(name)

    monkeypatch.setattr(index, "build", build)
    # One product of its own category: the filter on it is tried, being the rarest.
    catalogue.category[7] = ["All", "Alone"]
    says = {
        "lost payload": "has 1 products with",
        "NaN": "not finite|contains NaN",
        "stranger": "holds 338 points, not the 337",
    }
    with pytest.raises((VerificationError, StoreError), match=says[damage]):
        publish_catalogue(index, collection, catalogue)
    assert index.search_ef(collection) is None
