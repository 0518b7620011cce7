"""Read what a home has released by plain Feast and by HTTP, as those do who do not train.

    python examples/read_as_a_colleague.py HOME

HOME has a live release; `python examples/own_catalogue.py HOME` makes one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from fastapi.testclient import TestClient
from feast import FeatureStore

import twinvec
from twinvec.serving.api import create_app
from twinvec.serving.opening import open_answerer


def read_by_feast(folder: Path, products: list[str]) -> pd.DataFrame:
    """Return the features of products at this moment, from the service that follows the live release."""
    store = FeatureStore(repo_path=str(folder))
    entities = pd.DataFrame({"product_id": products, "event_timestamp": pd.Timestamp.now(tz="UTC")})
    service = store.get_feature_service("related_products")
    frame: pd.DataFrame = store.get_historical_features(entity_df=entities, features=service).to_df()
    return frame.set_index("product_id").loc[products]


def main(folder: Path | None = None) -> None:
    """Print what colleagues see of the live release.

    Args:
        folder: Folder of the home; the configured one if not given, `.twinvec` by default.
    """
    with twinvec.open(folder) as home:
        products = home.vectors("related").keys[:2].to_pylist()

        frame = read_by_feast(home.settings.home, products)
        print(f"Feast: {len(frame)} products, {', '.join(sorted(frame.columns)[:6])}, …")

        # In production: `twinvec serve`, and any HTTP client. Here the application answers in this process.
        client = TestClient(create_app(open_answerer(home.workspace)))
        answer = client.get(f"/related/{products[0]}", params={"k": 3}).json()
        print(f"HTTP: {answer['release']} answers with {len(answer['hits'])} products")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
