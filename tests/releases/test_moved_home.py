"""A home that was moved or copied is a home of its own, and never writes into the one it was copied from."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from feast import FeatureStore
from mlflow import MlflowClient

from tests.homes import copied
from twinvec import releases, tracking
from twinvec.doctor import diagnose, mend
from twinvec.errors import StoreError
from twinvec.features.repository import home_objects
from twinvec.place import ensure_place, former_place, stale_paths
from twinvec.settings import QdrantSettings, Settings
from twinvec.workspace import Workspace


def digests(home: Path) -> dict[str, str]:
    """Digest of every file by name, without SQLite's files of what is being read."""
    return {
        str(file.relative_to(home)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(home.rglob("*"))
        if file.is_file() and file.suffix not in (".db-wal", ".db-shm")
    }


def names(home: Path, place: Path) -> list[str]:
    """Files of a home that hold the path of another one."""
    said = [file for file in home.rglob("*") if file.is_file() and str(place).encode() in file.read_bytes()]
    # Text that MLflow wrote into a model's description, and never reads.
    return [str(file.relative_to(home)) for file in said if file.name != "MLmodel"]


def feast_apply(home: Path) -> subprocess.CompletedProcess[str]:
    feast = Path(sys.executable).with_name("feast")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWINVEC_")}
    return subprocess.run(
        [str(feast), "apply"], cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def test_a_copy_never_writes_into_the_first_home(released: Path, tmp_path: Path) -> None:
    first, second = copied(released, tmp_path / "first"), tmp_path / "second home"
    assert ensure_place(Settings(home=first)) > 0  # itself a copy
    assert diagnose(Settings(home=first)) == []
    copied(first, second)
    before = digests(first)
    settings = Settings(home=second, qdrant=QdrantSettings(verify_sample=20))

    assert former_place(settings) == first
    [found] = diagnose(settings)
    assert (found.store, found.where) == ("home", str(second))
    assert f"from {first}: {stale_paths(settings)} paths in Feast and MLflow" in found.what
    assert digests(second) == before, "who only looks changes nothing"
    with pytest.raises(StoreError, match="was moved or copied"):
        home_objects(second)

    mended = mend(settings)
    assert ([each.store for each in mended.mended], mended.left) == (["home"], [])
    assert (former_place(settings), stale_paths(settings), names(second, first)) == (None, 0, [])

    workspace = Workspace(settings)
    promoted = releases.promote(workspace, releases.find(workspace, "2"), force=True)
    assert Path(promoted.version.path) == second / "versions/related/v2"
    applied = feast_apply(second)
    assert applied.returncode == 0, applied.stderr
    assert "Deleted" not in applied.stdout
    tracking.log_report(settings, promoted.version.run_id, "a.json", {"figure": 1.5})
    run = MlflowClient().get_run(promoted.version.run_id or "")
    assert run.info.artifact_uri is not None
    assert run.info.artifact_uri.startswith(second.as_uri())
    assert diagnose(settings) == []
    workspace.close()
    assert digests(first) == before

    # A colleague's own client, from any folder.
    store = FeatureStore(repo_path=str(second))
    product = pd.read_parquet(second / "versions/text/v2/vectors")["product_id"][0]
    rows = pd.DataFrame({"product_id": [product], "event_timestamp": [pd.Timestamp.now(tz="UTC")]})
    service = store.get_feature_service("related_products")
    read = store.get_historical_features(entity_df=rows, features=service).to_df()
    assert read["title"].notna().all()
    online = store.get_online_features(service, [{"product_id": product}]).to_dict()
    assert online["title"] == list(read["title"])


def test_a_moved_home_goes_on_where_it_is(released: Path, tmp_path: Path) -> None:
    first = copied(released, tmp_path / "first")
    ensure_place(Settings(home=first))
    moved = first.rename(tmp_path / "elsewhere")
    workspace = Workspace(Settings(home=moved, qdrant=QdrantSettings(verify_sample=20)))
    assert Path(workspace.version("text@v1").path) == moved / "versions/text/v1"
    assert workspace.snapshot().path.parent == moved / "snapshots"
    release = releases.publish(workspace, workspace.version("related@v1"))
    assert release.label == "related_products@v1"
    assert releases.promote(workspace, release).state == "live"
    workspace.close()
    assert not first.exists()

    linked = tmp_path / "link"
    linked.symlink_to(moved)
    assert former_place(Settings(home=linked)) is None, "the same folder by another name"


def test_what_somebody_else_keeps_elsewhere_stays(released: Path, tmp_path: Path) -> None:
    home = copied(released, tmp_path / "home")
    theirs = "file:///data/mlartifacts/text"
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        columns = "name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace"
        database.execute(
            f"INSERT INTO experiments ({columns}) SELECT 'theirs', ?, lifecycle_stage, creation_time, "
            "last_update_time, workspace FROM experiments LIMIT 1",
            (theirs,),
        )
    assert ensure_place(Settings(home=home)) > 0
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        [(kept,)] = database.execute("SELECT artifact_location FROM experiments WHERE name = 'theirs'")
    assert kept == theirs
