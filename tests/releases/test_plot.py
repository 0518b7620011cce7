"""Maps and the curve of an index, over a live release."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.neighbors import NearestNeighbors
from typer.testing import CliRunner

from pipelines.command.app import app
from pipelines.evaluation import index_curve, layout
from twinvec import releases
from twinvec.workspace import Workspace


def test_what_is_alike_is_near_on_the_map() -> None:
    random = np.random.default_rng(6)
    cluster = random.integers(0, 4, 120)
    vectors = random.standard_normal((4, 16))[cluster] * 3 + random.standard_normal((120, 16))
    places = layout.lay_out(vectors.astype(np.float32), seed=0)
    nearest = NearestNeighbors(n_neighbors=2).fit(places).kneighbors(places, return_distance=False)[:, 1]
    assert np.mean(cluster[nearest] == cluster) > 0.95


def test_the_curve_has_the_recall_that_lists_have(served: Workspace) -> None:
    live = releases.live(served)
    assert live is not None
    ids = next(served.index.pages(live.collection, 40))[0]
    queries, _ = served.index.vectors(live.collection, ids)
    exact, few, many = index_curve.measure(served.index, live.collection, queries, efs=(1, 300))
    assert exact.ef is None
    assert (few.ef, many.ef) == (1, 300)
    lists = [
        [
            {hit.product_id for hit in hits}
            for hits in served.index.search(live.collection, queries, 10, **options)
        ]
        for options in ({"exact": True}, {"ef": 1}, {"ef": 300})
    ]
    for point, found in zip((exact, few, many), lists, strict=True):
        shared = [len(best & own) / 10 for best, own in zip(lists[0], found, strict=True)]
        assert point.recall == pytest.approx(np.mean(shared), abs=1e-3)
        assert 0 < point.p50_ms <= point.p99_ms


def test_the_command_adds_pictures_to_the_run_and_the_folder(served: Workspace, tmp_path: Path) -> None:
    served.index.close()
    env = {"TWINVEC_HOME": str(served.settings.home)}
    made = CliRunner().invoke(app, ["plot", "related@v1", "-o", str(tmp_path / "out"), "--json"], env=env)
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert [point["ef"] for point in told["index"]] == [None, *index_curve.EFS]
    kept = {
        artifact.path for artifact in MlflowClient(served.settings.tracking_uri()).list_artifacts(told["run"])
    }
    assert {"related-map.png", "related-index.png"} <= kept
    for name in ("related-map.png", "related-index.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")

    other = CliRunner().invoke(app, ["plot", "related@v2", "--json"], env=env)
    assert json.loads(other.stdout)["pictures"] == ["related-map.png"], "no release serves it"
