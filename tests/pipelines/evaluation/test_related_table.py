"""The table of models and baselines, on a small synthetic store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.evaluation.related_table import ROWS, compare, interval
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import SettingsError
from twinvec.settings import Settings
from twinvec.workspace import Workspace

SMALL = {
    "category": {"epochs": 50},
    "text": {"scheme": "pretrained"},
    "image": {"scheme": "none"},
    "aligned": {"dimension": 32, "epochs": 2},
    "related": {"dimension": 16, "twinvec": {"epochs": 3}, "paper": {"epochs": 1, "batch": 200}},
}


@pytest.mark.slow
def test_every_row_is_judged_on_the_same_edges_and_logged(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path / "home", device="cpu", **SMALL))
    generate(tmp_path / "store", 240, 1, images=False)
    snapshot = ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine).snapshot
    said: list[str] = []
    rows = {row.name: row for row in compare(workspace, snapshot, said.append)}
    assert [*rows] == [name for name in ROWS if name != "image cosine"]
    assert "image cosine: the snapshot has nothing for it" in said
    for row in rows.values():
        assert 0 <= row.hits_at_1 <= row.hits_at_3 <= row.hits_at_5 <= row.hits_at_10 <= 1
        assert row.mrr_low <= row.mrr_at_10 <= row.mrr_high
    assert rows["twinvec"].mrr_at_10 > rows["popularity"].mrr_at_10
    assert rows["text cosine"].auc_dir == pytest.approx(0.5), "it knows no direction"

    client = MlflowClient(workspace.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/comparisons")
    assert experiment is not None
    logged = {run.info.run_name: run.data.metrics for run in client.search_runs([experiment.experiment_id])}
    assert logged.keys() == {"related", *rows}
    assert logged["strap"]["hits_at_10"] == pytest.approx(rows["strap"].hits_at_10)
    with pytest.raises(SettingsError, match="no row bm25"):
        compare(workspace, snapshot, said.append, ["bm25"])
    workspace.engine.dispose()


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for seed in range(60):
        low, high = interval(random.exponential(1.0, 200), seed)
        held += low <= 1 <= high
    assert 51 <= held <= 60
    assert interval(np.full(5, 0.25), 0) == (0.25, 0.25)
