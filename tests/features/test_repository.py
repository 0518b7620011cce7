"""`feature_repo/`: what `feast apply` makes of a registry, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feast import FeatureStore, FeatureView
from sqlalchemy import make_url

from twinvec.errors import StoreError
from twinvec.features.repository import feast_objects
from twinvec.features.scalars import write_scalars
from twinvec.features.store import materialize_release, open_store
from twinvec.settings import Settings

FEATURE_REPO = Path(__file__).parents[2] / "feature_repo"
NAMES = {
    "product", "category", "seller", "listing", "query", "region", "search_node",
    "category__v1", "text__v1", "text__v2", "aligned__v1", "aligned__v2", "related__v1", "related__v2",
    "products__cafe",
    "related_products__v1", "related_products__v2", "related_products",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(shop: Any) -> Any:
    write_scalars(Path(shop.snapshot.path) / "products.parquet", shop.settings.paths.product_scalars("cafe"),
                  shop.snapshot.created_at)  # fmt: skip
    return shop


def test_everything_usable_in_the_registry_becomes_an_object(written: Any) -> None:
    objects = feast_objects(written.settings)
    assert {thing.name for thing in objects} == NAMES
    views = {thing.name: thing for thing in objects if isinstance(thing, FeatureView)}
    assert views["category__v1"].entities == ["category"]
    assert views["related__v1"].entities == ["product"]


def test_a_home_without_a_registry_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no registry"):
        feast_objects(Settings(home=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_feast_apply_registers_all_of_it_in_a_fresh_home(written: Any) -> None:
    environment = {**os.environ, "TWINVEC_HOME": str(written.settings.home)}
    command = Path(sys.executable).with_name("feast")
    done = subprocess.run(
        [command, "apply"], cwd=FEATURE_REPO, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    store = open_store(written.settings)
    found: list[Any] = [*store.list_entities(), *store.list_feature_views(), *store.list_feature_services()]
    assert {thing.name for thing in found} == NAMES


@pytest.fixture
def production(emptied_postgres: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The production configuration, with the variables of a PostgreSQL server started here."""
    url = make_url(emptied_postgres)
    values = {
        "HOST": url.query.get("host", url.host),
        "PORT": url.port or 5432,
        "DATABASE": url.database,
        "USER": url.username,
        "PASSWORD": url.password or "unused",
        "SSLMODE": "disable",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"FEAST_POSTGRES_{name}", str(value))
    return FEATURE_REPO / "feature_store.production.yaml"


@pytest.mark.postgres
def test_the_production_configuration_serves_from_postgresql(written: Any, production: Path) -> None:
    settings = Settings(home=written.settings.home, feast={"config": production})
    store = open_store(settings)
    store.apply(list(feast_objects(settings)))
    assert materialize_release(store, written.releases[1]) == 116

    rendered = settings.home / "feature_store.yaml"
    assert "${FEAST_POSTGRES_PASSWORD}" in rendered.read_text(), "a password stays a variable"
    again = FeatureStore(repo_path=str(settings.home))
    service = again.get_feature_service("related_products")
    rows = [{"product_id": "p9"}, {"product_id": "unknown"}]
    got = again.get_online_features(features=service, entity_rows=rows).to_dict()
    expected = written.vectors["related@v1"]["target_vector"][9]
    np.testing.assert_array_equal(np.array(got["target_vector"][0], np.float32), expected)
    assert got["target_vector"][1] is None
