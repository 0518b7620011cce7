from __future__ import annotations

import itertools
import uuid

import numpy as np

from tests.vectors.conftest import Catalogue
from twinvec.vectors import PointBatch
from twinvec.vectors.fingerprint import MODULUS, fingerprint


def total(*batches: PointBatch) -> int:
    return sum(fingerprint(batch.ids, batch.source, batch.target) for batch in batches) % MODULUS


def test_order_and_batches_do_not_matter(catalogue: Catalogue) -> None:
    whole = total(catalogue.points())
    assert whole == total(*catalogue.batches(50)) == total(*reversed(list(catalogue.batches(7))))


def test_whatever_differs_is_noticed(catalogue: Catalogue) -> None:
    batch = catalogue.points(0, 20)
    ids, source, target = batch.ids, batch.source, batch.target
    order = np.arange(20)
    order[[3, 4]] = [4, 3]
    one_bit = target.copy()
    one_bit.view(np.uint32)[7, 2] ^= 1
    variants = {
        "as sent": (ids, source, target),
        "one bit": (ids, source, one_bit),
        "vectors swapped": (ids, target, source),
        "sources of two products swapped": (ids, source[order], target),
        "both vectors of two products swapped": (ids, source[order], target[order]),
        "one missing": (ids[1:], source[1:], target[1:]),
        "one twice in place of another": ([ids[1], *ids[1:]], source, target),
        "a stranger": ([str(uuid.uuid4()), *ids[1:]], source, target),
    }
    found = {name: fingerprint(*points) for name, points in variants.items()}
    for one, other in itertools.combinations(found, 2):
        assert found[one] != found[other], (one, other)


def test_negative_zero_is_zero(catalogue: Catalogue) -> None:
    catalogue.target[5] = 0
    before = total(catalogue.points())
    catalogue.target[5] = -0.0
    assert total(catalogue.points()) == before
