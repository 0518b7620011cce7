"""Put embeddings that were made elsewhere in the place of Twinvec's own text vectors.

    python examples/own_embeddings.py [HOME]

The vectors here count the letters of each title, to keep the example short. Use any model of your own: the table needs
the column `product_id` and one column of lists of equal length.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

import twinvec
from twinvec.catalogue.synthetic import generate

BRIEF: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 20},
    "aligned": {"dimension": 16, "epochs": 1},
    "related": {"dimension": 16, "twinvec": {"epochs": 2}},
    "ranking": {"trees": 30},
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letter_counts(titles: list[str]) -> npt.NDArray[np.float32]:
    """Return how often each letter occurs in each title, float32 [titles, 26]."""
    return np.array([[title.lower().count(letter) for letter in LETTERS] for title in titles], np.float32)


def main(folder: Path | None = None) -> None:
    """Import vectors of the titles, train related products on them, and export the result.

    Args:
        folder: Folder of the home; the configured one if not given, `.twinvec` by default.
    """
    with tempfile.TemporaryDirectory() as scratch, twinvec.open(folder, **BRIEF) as home:
        catalogue = Path(scratch) / "catalogue"
        generate(catalogue, 300, seed=2, images=False)
        snapshot = home.ingest(catalogue).snapshot

        products = pq.read_table(snapshot.table("products"), columns=["product_id", "title"])
        # A title is a map from language to text; a product may have none.
        titles = [
            " ".join(text for _language, text in title or ()) for title in products["title"].to_pylist()
        ]
        table = pa.table({"product_id": products["product_id"], "letters": list(letter_counts(titles))})
        imported = home.import_vectors("text", table, note="letter counts")
        print(f"{imported.name}: {imported.rows} vectors of {imported.dimension} numbers")

        # No text encoder runs: the imported version is the newest of its space.
        steps = {step.space: step for step in home.train("related")}
        print(f"text: {steps['text'].reason}")
        related = steps["related"].version
        assert related is not None
        file = home.export(related.name, Path(scratch) / "related.parquet")
        print(f"{related.name}: exported {', '.join(pq.read_schema(file).names)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
