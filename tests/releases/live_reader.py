"""Reads from the live release until a file appears, and tells what it found.

Every answer has to be that of one release alone: its neighbours, or its vectors, as `expected` has them.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The release that was named, the one that what was read is of, what was read, and what it should have been.
Read = Callable[[str], tuple[str, object, object, object]]


def edge_reader(home: Path, expected: dict[str, Any]) -> Read:
    """Asks the recommender: the answer, the payload of each of its hits and its order name one release."""
    from twinvec.serving.related import Recommender
    from twinvec.vectors.edge import EdgeIndex

    class Watched(EdgeIndex):
        def related(self, *arguments: Any, **named: Any) -> Any:
            self.found = super().related(*arguments, **named)
            return self.found

    index = Watched(home / "qdrant")
    recommender = Recommender(index, "related_products", 300)
    depth = len(next(iter(expected["related_products__v1"]["best"].values())))

    def read(product: str) -> tuple[str, object, object, object]:
        answer = recommender.related(product, depth)
        found = [hit.product.product_id for hit in answer.hits]
        assert index.found is not None
        payloads = sorted({hit.payload["release"] for hit in index.found.hits})
        return answer.release, payloads, found, expected[answer.release]["best"][product]

    return read


def online_reader(home: Path, expected: dict[str, Any]) -> Read:
    """Asks Feast's online store, as a colleague does: the vectors of two views in one answer are of one release."""
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(home))

    reads = itertools.count()

    def read(product: str) -> tuple[str, object, object, object]:
        # Feast follows a service as of its own copy of the registry, which it renews by itself once a minute.
        if next(reads) % 40 == 0:
            store.refresh_registry()  # type: ignore[no-untyped-call]
        service = store.get_feature_service("related_products", allow_cache=True)
        row = store.get_online_features(service, [{"product_id": product}]).to_dict()
        vectors = [row[name][0] for name in ("source_vector", "target_vector", "text_vector")]
        release = service.tags["collection"]
        return release, [release], vectors, expected[release]["vectors"][product]

    return read


def read(kind: str, home: str, expected: str, ready: str, stop: str) -> dict[str, Any]:
    """Read one product after the other.

    Args:
        kind: `edge` or `online`.
        expected: A file: release → what → product → what is right.
        ready: A file that is made after the first read.
        stop: A file that ends it.

    Returns:
        How often each release was read, how often it changed, and what was wrong.
    """
    known = json.loads(Path(expected).read_text())
    ask = {"edge": edge_reader, "online": online_reader}[kind](Path(home), known)
    products = list(known["related_products__v1"]["best"])
    reads: Counter[str] = Counter()
    wrong: list[str] = []
    switches, last = 0, ""
    ask(products[0])
    Path(ready).touch()
    while not Path(stop).exists():
        for product in products:
            try:
                release, payloads, found, right = ask(product)
            except Exception as error:  # any is one too many
                wrong.append(f"{type(error).__name__}: {error}"[:300])
                continue
            if payloads != [release] or found != right:
                wrong.append(f"{product}: {release} gave {found} of {payloads}, not {right}"[:600])
            switches += bool(last) and release != last
            last = release
            reads[release] += 1
    return {"kind": kind, "reads": reads, "switches": switches, "wrong": wrong}
