"""Tables of training schemes on a small synthetic store: rows, their own stores, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipelines.comparisons.comparison import Request
from pipelines.comparisons.encoders import FIGURES, IMAGE
from pipelines.comparisons.runner import run
from registry import operations
from registry.database import transaction
from twinvec.catalogue.ingest import ingest
from twinvec.catalogue.synthetic.store import generate
from twinvec.settings import Settings
from twinvec.workspace import Workspace

pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {
    "category": {"epochs": 50},
    "text": {"scheme": "none"},
    "image": {"model": "vit_small_untrained", "size": 32, "dimension": 32},
    "aligned": {"dimension": 32, "epochs": 2},
    "related": {"dimension": 16, "refit": False, "twinvec": {"epochs": 2}},
}


def test_rows_are_compared_with_the_first_and_kept_apart(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path / "home", device="cpu", **SMALL))
    generate(tmp_path / "store", 240, 1)
    snapshot = ingest(tmp_path / "store", "parquet", workspace.settings, workspace.engine).snapshot
    schemes = ("none", "pretrained")
    rows = run(IMAGE, Request(workspace, snapshot, print, "related"), schemes)
    assert [row.scheme for row in rows] == list(schemes)
    assert rows[0].relative == dict.fromkeys(FIGURES, 1.0)
    for name in FIGURES:
        first, value = rows[0].figures[name], rows[1].figures[name]
        assert rows[1].relative[name] == (pytest.approx(value / first) if first else None)
    assert rows[0].figures != rows[1].figures
    assert rows[0].over_above is None
    gained = rows[1].figures["mrr_at_10"] - rows[0].figures["mrr_at_10"]
    over = rows[1].over_above
    assert over is not None
    assert over.mean == pytest.approx(gained, abs=1e-6)
    assert over.low < over.mean < over.high
    with transaction(workspace.engine) as session:
        assert not operations.versions(session), "nobody reads an ablation's versions"

    again = run(IMAGE, Request(workspace, snapshot, print, "related"), schemes)
    assert [row.version for row in again] == [row.version for row in rows], "made once"

    client = MlflowClient(workspace.settings.tracking_uri())
    experiment = client.get_experiment_by_name("twinvec/comparisons")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2 * (1 + len(schemes))
    logged = [run.data.metrics["mrr_at_10"] for run in runs if run.info.run_name == "pretrained"]
    assert logged == [rows[1].figures["mrr_at_10"]] * 2

    told: list[str] = []
    (row,) = run(IMAGE, Request(workspace, snapshot, told.append, "coviews"), schemes)
    assert row.scheme == "pretrained"
    assert row.ranks is not None
    assert row.ranks.everywhere.mean() == pytest.approx(row.figures["mrr_at_10"], abs=1e-6)
    assert "none: left out. there are no image vectors that could find coviews" in told
    workspace.engine.dispose()
