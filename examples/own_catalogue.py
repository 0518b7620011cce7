"""Take a catalogue of one's own from files to related products.

    python examples/own_catalogue.py [HOME]

The catalogue here is synthetic: `products.parquet`, `orders.parquet` and `views.parquet` in one folder. Replace
`generate` by files with the same columns (docs/catalogue.md), or name another format in `ingest`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import twinvec
from twinvec.catalogue.synthetic import generate

# Brief settings, so that the example takes seconds. Leave them out for vectors of full quality.
BRIEF: dict[str, Any] = {
    "device": "cpu",
    "category": {"epochs": 20},
    "text": {"scheme": "none"},  # no content: related products by the graph alone
    "related": {"dimension": 16, "twinvec": {"epochs": 2}},
    "ranking": {"trees": 30},
}


def main(folder: Path | None = None) -> None:
    """Ingest, train, publish, and ask.

    Args:
        folder: Folder of the home; the configured one if not given, `.twinvec` by default.
    """
    with tempfile.TemporaryDirectory() as scratch, twinvec.open(folder, **BRIEF) as home:
        catalogue = Path(scratch) / "catalogue"
        generate(catalogue, 300, seed=1, images=False)

        report = home.ingest(catalogue, format="parquet")
        print(f"{report.rows['products']} products in the snapshot {report.snapshot.id}")

        result = home.run()
        for step in result.steps:
            print(f"{step.space}: {step.version.name if step.version else step.reason}")
        # The gates may refuse a release that is worse than the live one; of so short a training, promote it anyway.
        live = result.live or home.promote(force=True)
        print(f"live: {live.label}")

        product = home.vectors("related").keys[0].as_py()
        answer = home.related(product, k=3)
        print(f"goes with {answer.product.title}:")
        for hit in answer.hits:
            print(f"  {hit.score:.2f} {hit.product.title}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
