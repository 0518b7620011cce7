"""The table of models and what they cost, on a small synthetic store, by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.comparisons import links, related
from pipelines.comparisons.contenders import model_rows
from pipelines.related.models import model_names
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SMALL = {
    "DEVICE": "cpu",
    "CATEGORY__EPOCHS": "50",
    "TEXT__SCHEME": "pretrained",
    "IMAGE__SCHEME": "none",
    "ALIGNED__DIMENSION": "24",
    "ALIGNED__EPOCHS": "1",
    "RELATED__DIMENSION": "16",
    "RELATED__DAEMON__EPOCHS": "2",
    "RELATED__LIGHTGCN__EPOCHS": "1",
}


def test_a_row_for_each_model() -> None:
    assert list(model_rows().values()) == model_names()
    assert model_rows()["merlin"] == "paper"
    for rows in (related.row_names(), links.row_names()):
        assert tuple(rows[-len(model_names()) :]) == tuple(model_rows())


@pytest.mark.slow
def test_rows_tell_quality_and_cost_and_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(Settings(home=tmp_path / "home"))
    generate(tmp_path / "store", 220, 1, images=False)
    ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine)
    workspace.engine.dispose()
    for name, value in {"HOME": str(tmp_path / "home"), **SMALL}.items():
        monkeypatch.setenv(f"TWINVEC_{name}", value)
    arguments = ["ablate", "models", "--row", "daemon", "--row", "lightgcn"]
    table = tmp_path / "models.md"
    result = CliRunner().invoke(app, [*arguments, "--json", "--output", str(table)])
    assert result.exit_code == 0, result.output
    daemon, lightgcn = json.loads(result.stdout)
    assert (daemon["name"], lightgcn["name"]) == ("daemon", "lightgcn")
    for row in (daemon, lightgcn):
        assert 0 < row["mrr_low"] <= row["mrr_at_10"] <= row["mrr_high"] <= row["hits_at_10"] <= 1
        assert 0 < row["seconds_an_epoch"] * row["epochs"] < row["seconds"]
        assert row["peak_memory_mib"] is None or 0 <= row["peak_memory_mib"] < 2000
    assert (daemon["epochs"], lightgcn["epochs"]) == (2, 1)
    # A map of the content, and whether there is any, for each role; one coordinate is the calibration's.
    assert lightgcn["parameters"] == (25 + 1) * 2 * 15
    # Two layers of three maps, the node's own with a bias.
    assert daemon["parameters"] == 3 * 25 * 16 + 16 + 3 * 16 * 16 + 16
    assert "| lightgcn |" in table.read_text()
    client = MlflowClient(workspace.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/comparisons")
    assert experiment is not None
    logged = {run.info.run_name: run.data.metrics for run in client.search_runs([experiment.experiment_id])}
    assert logged.keys() == {"models", "daemon", "lightgcn"}
    assert logged["daemon"]["parameters"] == daemon["parameters"]
    refused = CliRunner().invoke(app, ["ablate", "models", "--row", "waml"])
    assert refused.exit_code == 1
