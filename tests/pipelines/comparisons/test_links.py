"""The table of link prediction, from the command to MLflow, on a small synthetic store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.comparisons import links
from pipelines.comparisons.comparison import Request
from pipelines.comparisons.runner import run
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import SettingsError
from twinvec.settings import load_settings
from twinvec.workspace import Workspace

SMALL = {
    "CATEGORY__EPOCHS": "30",
    "TEXT__SCHEME": "pretrained",
    "IMAGE__SCHEME": "none",
    "ALIGNED__DIMENSION": "16",
    "ALIGNED__EPOCHS": "1",
    "RELATED__DIMENSION": "16",
    "RELATED__TWINVEC__EPOCHS": "3",
}


@pytest.mark.slow
def test_rows_are_judged_without_coviews_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setenv(f"TWINVEC_{name}", value)
    monkeypatch.setenv("TWINVEC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWINVEC_DEVICE", "cpu")
    workspace = Workspace(load_settings())
    generate(tmp_path / "store", 240, 1, images=False)
    snapshot = ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine).snapshot

    wanted = ["popularity", "text cosine", "pagerank", "twinvec"]
    chosen = [part for name in wanted for part in ("--row", name)]
    done = CliRunner().invoke(
        app, ["ablate", "links", *chosen, "--output", str(tmp_path / "links.md"), "--json"]
    )
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert [*rows] == wanted
    for row in rows.values():
        assert 1 / 11 <= row["mrr"] <= 1
        assert 0 <= row["hits_at_3"] <= 1
    assert rows["pagerank"]["auc_random"] > rows["popularity"]["auc_random"] > 0.5
    assert rows["twinvec"]["mrr"] > rows["popularity"]["mrr"]
    assert rows["text cosine"]["auc_dir"] == pytest.approx(0.5), "it knows no direction"
    written = (tmp_path / "links.md").read_text()
    assert "|  | Hits@3 | MRR | AUC-random | AUC-dir | seconds |" in written
    assert f"| twinvec | {rows['twinvec']['hits_at_3']:.4f} |" in written

    client = MlflowClient(workspace.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/comparisons")
    assert experiment is not None
    logged = {run.info.run_name: run.data for run in client.search_runs([experiment.experiment_id])}
    assert logged.keys() == {"links", *rows}
    assert "mlflow.parentRunId" in logged["pagerank"].tags
    assert logged["pagerank"].metrics["auc_random"] == pytest.approx(rows["pagerank"]["auc_random"])

    assert "pagerank + co-views" not in links.row_names()
    with pytest.raises(SettingsError, match="no row bm25"):
        run(links.COMPARISON, Request(workspace, snapshot, print), ["bm25"])
    workspace.engine.dispose()
