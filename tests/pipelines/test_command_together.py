"""`twinvec train` under torchrun: two processes make each version once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from registry import operations
from registry.database import transaction
from registry.models import State
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SMALL = {
    "DEVICE": "cpu",
    "CATEGORY__EPOCHS": "50",
    "TEXT__SCHEME": "none",
    "IMAGE__SCHEME": "none",
    "RELATED__DIMENSION": "16",
    "RELATED__TWINVEC__BATCH": "64",
    "RELATED__TWINVEC__EPOCHS": "2",
}


@pytest.mark.slow
def test_two_processes_make_each_version_once(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path / "home"))
    generate(tmp_path / "store", 240, 1)
    ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine)
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*together, "--no-python", str(Path(sys.executable).with_name("twinvec")), "train", "related"]
    settings = {f"TWINVEC_{name}": value for name, value in SMALL.items()}
    done = subprocess.run(
        command,
        env={**os.environ, **settings, "TWINVEC_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("related@v1") == 1, "one process prints"
    with transaction(workspace.engine) as session:
        versions = operations.versions(session)
    assert [version.name for version in versions] == ["category@v1", "graph@v1", "related@v1"]
    assert {version.state for version in versions} == {State.READY}
    # Each process took half of the batches: what is logged is the mean over both, once an epoch.
    client = MlflowClient(workspace.settings.tracking_uri())
    assert [each.step for each in client.get_metric_history(versions[-1].run_id or "", "loss")] == [1, 2]
    assert not list((tmp_path / "home" / "checkpoints").glob("*"))
    workspace.engine.dispose()
