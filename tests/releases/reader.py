"""Asks the live release of a home until its standard input ends; prints what it saw.

Its argument is the home; one line of JSON in, product → the ids that should be found for it.
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path

from twinvec.serving.related import Recommender
from twinvec.vectors.edge import EdgeIndex

expected = json.loads(sys.stdin.readline())
recommender = Recommender(EdgeIndex(Path(sys.argv[1]) / "qdrant"), "related_products", 300)
reads, wrong, errors = 0, 0, []
while not select.select([sys.stdin], [], [], 0)[0]:
    for product, ids in expected.items():
        try:
            found = recommender.related(product)
            wrong += [hit.product.product_id for hit in found.hits] != ids
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        reads += 1
print(json.dumps({"reads": reads, "wrong": wrong, "errors": errors}))  # noqa: T201
