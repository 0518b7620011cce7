"""Feast as the pipelines, a colleague and `feast apply` use it; the tests of this module run in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore

from registry.models import Version
from twinvec.errors import NotFoundError, SettingsError, StateError
from twinvec.features.definitions import product_versions
from twinvec.features.manifest import Manifest
from twinvec.features.reading import read_vectors
from twinvec.features.store import (
    ASOF,
    apply_release,
    apply_snapshot,
    apply_version,
    find_service,
    find_view,
    materialize_release,
    open_store,
)
from twinvec.settings import Settings

ROOT = Path(__file__).parents[2]
RELEASE_VIEWS = ["text__v1", "aligned__v1", "related__v1", "products__cafe"]


@pytest.fixture(scope="module")
def store(shop: Any) -> FeatureStore:
    store = open_store(shop.settings)
    apply_snapshot(store, shop.settings, shop.snapshot, shop.snapshot.created_at)
    for version in shop.versions.values():
        if version.dimension is not None:
            apply_version(store, version)
    apply_release(store, shop.releases[1], shop.lineage(1), live=True)
    apply_release(store, shop.releases[2], shop.lineage(2), live=False)
    return store


def feast(*arguments: str, home: Path) -> str:
    command = Path(sys.executable).with_name("feast")
    environment = {**os.environ, "TWINVEC_HOME": str(home)}
    done = subprocess.run(
        [command, *arguments],
        cwd=ROOT / "feature_repo",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def objects(store: FeatureStore) -> dict[str, Any]:
    """Every view, service and entity of the store, with the time of its last change."""
    return {
        thing.name: (type(thing).__name__, thing.last_updated_timestamp)
        for things in (store.list_feature_views(), store.list_feature_services(), store.list_entities())
        for thing in things
    }


def test_the_home_opens_with_our_offline_store_and_without_it(shop: Any, store: FeatureStore) -> None:
    assert store.config.offline_store.type == ASOF
    home = shop.settings.home
    assert FeatureStore(repo_path=str(home)).config.offline_store.type == "duckdb"
    ours = FeatureStore(repo_path=str(home), fs_yaml_file=home / "feature_store.asof.yaml")
    assert ours.config.offline_store.type == ASOF


def test_what_is_applied_is_found_with_its_tags(shop: Any, store: FeatureStore) -> None:
    assert find_view(store, "text__v3") is None, "a failed version has no view"
    assert find_service(store, "nothing") is None
    view = find_view(store, "aligned__v1")
    assert view is not None
    assert view.tags == {
        "version": "aligned@v1",
        "space": "aligned",
        "dimension": "5",
        "metric": "cosine",
        "normalised": "false",
        "snapshot": "cafe",
        "inputs": "text@v1",
        "manifest": Manifest.from_json(shop.versions["aligned@v1"].manifest).digest,
        "mlflow_run": "f00d",
        "mlflow_model": "models:/aligned/1",
    }
    live = find_service(store, "related_products")
    assert live is not None
    assert [projection.name for projection in live.feature_view_projections] == RELEASE_VIEWS
    second = find_service(store, "related_products__v2")
    assert second is not None
    assert [projection.name for projection in second.feature_view_projections] == [
        "text__v2",
        "aligned__v2",
        "related__v2",
        "products__cafe",
    ]


def test_vectors_come_in_the_order_asked_for_with_a_mask(shop: Any, store: FeatureStore) -> None:
    keys = ["p29", "p0", "unknown", "p7", "p0"]
    for name in ("related@v1", "aligned@v1", "text@v1", "text@v2"):
        written = shop.vectors[name]
        read = read_vectors(store, shop.versions[name], keys)
        place = {key: row for row, key in enumerate(shop.keys[name])}
        assert read.present.tolist() == [key in place for key in keys]
        assert read.fields.keys() == written.keys()
        for field, vectors in read.fields.items():
            assert vectors.dtype == np.float32
            expected = [
                written[field][place[key]] if key in place else np.zeros(vectors.shape[1]) for key in keys
            ]
            np.testing.assert_array_equal(vectors, np.array(expected, np.float32))
    first, second = (
        read_vectors(store, shop.versions[name], ["p3"]).only() for name in ("text@v1", "text@v2")
    )
    assert not np.array_equal(first, second)
    assert read_vectors(store, shop.versions["category@v1"], ["Toys > Cars", "Games"]).present.tolist() == [
        True,
        False,
    ]
    assert read_vectors(store, shop.versions["text@v1"], []).only().shape == (0, 6)


def test_two_versions_of_a_space_do_not_mix_unnoticed(store: FeatureStore) -> None:
    table = pd.DataFrame({"product_id": ["p1"], "event_timestamp": pd.Timestamp.now("UTC")})
    references = ["text__v1:text_vector", "text__v2:text_vector"]
    with pytest.raises(Exception, match="text_vector"):
        store.get_historical_features(entity_df=table, features=references)
    both = store.get_historical_features(
        entity_df=table, features=references, full_feature_names=True
    ).to_df()
    assert list(both.columns[2:]) == ["text__v1__text_vector", "text__v2__text_vector"]


def test_a_release_of_two_versions_of_a_space_is_refused(shop: Any) -> None:
    with pytest.raises(StateError, match="both text@v1 and text@v2"):
        product_versions([shop.versions["text@v1"], shop.versions["text@v2"]])


def test_a_version_cannot_change_under_its_name(shop: Any, store: FeatureStore) -> None:
    known = shop.versions["text@v1"]
    changed = Version(space="text", number=1, path=known.path, manifest={**known.manifest, "model": "other"})
    with pytest.raises(StateError, match=r"text@v1 is in the feature store with manifest \w{16}"):
        apply_version(store, changed)


def test_a_version_that_was_not_applied_is_not_found(shop: Any, store: FeatureStore) -> None:
    known = shop.versions["text@v1"]
    missing = Version(space="text", number=9, path=known.path, manifest=known.manifest)
    with pytest.raises(NotFoundError, match="text__v9"):
        read_vectors(store, missing, ["p1"])


def test_materialising_again_writes_nothing(shop: Any, store: FeatureStore) -> None:
    seen: list[tuple[str, int, int]] = []
    written = materialize_release(store, shop.releases[1], lambda *step: seen.append(step))
    assert written == 30 + 26 + 30 + 30
    assert ("aligned__v1", 26, 26) in seen
    assert materialize_release(store, shop.releases[1]) == 0
    # The second release shares only the scalars with the first.
    assert materialize_release(store, shop.releases[2]) == 30 + 30 + 27


def test_a_colleague_needs_feast_and_nothing_of_ours(shop: Any, store: FeatureStore, tmp_path: Path) -> None:
    keys = ["p5", "p0", "p27", "unknown"]
    script = Path(__file__).with_name("colleague.py")
    # From another folder, without a variable of ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWINVEC")}
    done = subprocess.run(
        [sys.executable, script, str(shop.settings.home), ",".join(keys)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout.splitlines()[-1])
    assert got["views"] == RELEASE_VIEWS
    assert got["tags"]["manifest"] == shop.versions["related@v1"].digest
    assert got["tags"]["inputs"] == "aligned@v1,category@v1,graph@v1"
    assert got["fields"] == {
        "source_vector": [False, 4, "inner_product"],
        "target_vector": [True, 4, "inner_product"],
    }
    for name, field in [
        ("text@v1", "text_vector"),
        ("aligned@v1", "aligned_vector"),
        ("related@v1", "source_vector"),
        ("related@v1", "target_vector"),
    ]:
        place = {key: row for row, key in enumerate(shop.keys[name])}
        for column, key in enumerate(keys):
            expected = shop.vectors[name][field][place[key]] if key in place else None
            for value in (got["historical"][field][key], got["online"][field][column]):
                if expected is None:
                    assert value is None
                else:
                    np.testing.assert_array_equal(np.array(value, np.float32), expected)
    assert got["historical"]["title"] == {"p5": "cosa 5", "p0": None, "p27": "cosa 27", "unknown": None}
    assert got["online"]["category"] == ["Toys > Cars", "Toys > Cars", "Toys > Cars", None]
    assert got["online"]["price"][0] == 5.0


def test_feast_apply_agrees_with_what_the_platform_applied(shop: Any, store: FeatureStore) -> None:
    before = objects(store)
    for version in shop.versions.values():
        if version.dimension is not None:
            apply_version(store, version)
    apply_release(store, shop.releases[1], shop.lineage(1), live=True)
    assert objects(store) == before, "applying again changes nothing, not even the time of a change"

    intervals = {view.name: view.materialization_intervals for view in store.list_feature_views()}
    output = feast("apply", home=shop.settings.home)
    # Feast says of a materialised view that its source is "updated", since a time in its description is.
    assert not {"Created", "Deleted"} & {
        line.split(" ")[0] for line in output.split("Created sqlite")[0].splitlines()
    }
    assert objects(store).keys() == before.keys()
    assert {view.name: view.materialization_intervals for view in store.list_feature_views()} == intervals


def test_the_live_service_follows_a_promotion(shop: Any, store: FeatureStore) -> None:
    apply_release(store, shop.releases[2], shop.lineage(2), live=True)
    live = find_service(store, "related_products")
    assert live is not None
    assert "related__v2" in [projection.name for projection in live.feature_view_projections]
    rows = [{"product_id": "p4"}]
    vector = store.get_online_features(features=live, entity_rows=rows).to_dict()["source_vector"][0]
    expected = shop.vectors["related@v2"]["source_vector"][shop.keys["related@v2"].index("p4")]
    np.testing.assert_array_equal(np.array(vector, np.float32), expected)


def test_a_configuration_with_an_unset_variable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEAST_POSTGRES_HOST", raising=False)
    config = ROOT / "feature_repo" / "feature_store.production.yaml"
    settings = Settings(home=tmp_path, feast={"config": config})
    with pytest.raises(SettingsError, match="FEAST_POSTGRES_HOST"):
        open_store(settings)
    assert not (tmp_path / "feature_store.yaml").exists()
