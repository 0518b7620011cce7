from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest

from tests.vectors.conftest import Catalogue
from twinvec.errors import VerificationError
from twinvec.vectors import CollectionConfig, PointBatch, point_id, point_ids
from twinvec.vectors.edge import EdgeIndex
from twinvec.vectors.index import stored_points
from twinvec.vectors.points import NAMESPACE, old_point_id


def test_point_ids_never_change() -> None:
    # Services keep these, or make them by their own uuid5: a change would orphan every one of them.
    random = np.random.default_rng(7)
    for name in ["", "a/b", "ü ñ 日本", *map(str, random.integers(10**9, size=100))]:
        assert point_id("es", name) == str(uuid.uuid5(NAMESPACE, f"es/{name}"))
    assert point_id("us", "B00001") == "b6572c11-3104-50e4-9fc4-7ce47b7b4040"
    assert point_ids(["us", "es"], ["B00001", "B00001"]) == [
        point_id("us", "B00001"),
        point_id("es", "B00001"),
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["source", "target"])
def test_vectors_that_are_not_finite_never_make_a_batch(
    catalogue: Catalogue, which: str, value: float
) -> None:
    getattr(catalogue, which)[[4, 9], 2] = value
    with pytest.raises(VerificationError, match=r"2 of 337 products have NaN or infinity.*B00004"):
        catalogue.points()


def test_arrays_that_do_not_belong_together_are_refused(catalogue: Catalogue) -> None:
    batch = catalogue.points(0, 5)
    with pytest.raises(VerificationError, match="two equal"):
        PointBatch(batch.ids, batch.source, batch.target[:, :4], batch.payloads)
    with pytest.raises(VerificationError, match="4 ids and 5 payloads"):
        PointBatch(batch.ids[:4], batch.source, batch.target, batch.payloads)


def test_an_unknown_price_is_null_in_the_payload(catalogue: Catalogue) -> None:
    catalogue.price[:3] = [None, float("nan"), 2.5]
    assert [payload["price"] for payload in catalogue.points(0, 3).payloads] == [None, None, 2.5]


def test_no_two_pairs_share_a_point() -> None:
    parts = ["a", "a/b", "b", "b/c", "c", "%2F", "a%2Fb", "%", "/", ""]
    pairs = [(market, product) for market in parts for product in parts]
    assert len({point_id(*pair) for pair in pairs}) == len(pairs)
    assert len({old_point_id(*pair) for pair in pairs}) < len(pairs)
    plain = [pair for pair in pairs if not set(pair[0]) & {"/", "%"}]
    assert all(point_id(*pair) == old_point_id(*pair) for pair in plain)


def test_releases_of_the_old_rule_are_still_found(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path)
    vectors = np.eye(2, 4, dtype=np.float32)
    pairs = [("shop/eu", "1"), ("us", "2")]
    for name, rule in (("new", point_id), ("old", old_point_id)):
        payloads = [{"product_id": product, "marketplace": market} for market, product in pairs]
        index.create(name, CollectionConfig(4, 16, 100, 10_000))
        index.upsert(name, PointBatch([rule(*pair) for pair in pairs], vectors, vectors, payloads))
        index.build(name)
        assert stored_points(index, name, pairs) == [rule(*pair) for pair in pairs]
        assert (index.find(name, "1") or {})["marketplace"] == "shop/eu"
    index.close()
