"""Versions with planned differences, compared through all the stores."""

from __future__ import annotations

import json
import re
from typing import Any

import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.versions.drift import drift
from pipelines.versions.drift import overlap as overlap_of
from pipelines.versions.pairing import side_by_side
from twinvec.workspace import Workspace


def silent(message: str) -> None:
    pass


def nearest(source: Any, target: Any, row: int) -> set[int]:
    scores = target @ source[row]
    scores[row] = -np.inf
    return set(np.argsort(-scores)[:10].tolist())


def test_what_was_planned_is_found(plan: Any, workspace: Workspace) -> None:
    found = drift(workspace, workspace.version("related@v2"), workspace.version("related@v1"), silent)
    assert (found.shared, found.added, found.gone) == (280, 20, 20)
    # All 280 would be too few to need a sample, so the mean is exactly that of a loop.
    new, old = [each[:280] for each in plan.new], [each[20:] for each in plan.old]
    pairs = [(nearest(new[0], new[1], row), nearest(old[0], old[1], row)) for row in range(280)]
    assert found.overlap_at_10 == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in pairs]))
    assert found.overlap_at_10 is not None
    assert 0.5 < found.overlap_at_10 < 1
    for place, field in enumerate(("source_vector", "target_vector")):
        lengths = np.linalg.norm(plan.new[place], axis=1)
        assert found.norms[field].new.mean == pytest.approx(lengths.mean(), rel=1e-5)
        assert found.norms[field].new.p95 == pytest.approx(np.percentile(lengths, 95), rel=1e-5)
        assert found.norms[field].distance < 0.12
    scores = (plan.old[0] @ plan.old[1].T)[~np.eye(300, dtype=bool)]
    assert found.similarities.old.std == pytest.approx(scores.std(), rel=0.03)
    assert found.content["old"].without_text == pytest.approx(0.8)
    assert found.content["old"].without_image == 1
    assert found.content["new"].without_image == pytest.approx(0.9)
    assert found.content["new"].without_vector == 0

    run = mlflow.get_run(found.run)
    assert run.data.metrics["overlap_at_10"] == pytest.approx(found.overlap_at_10)
    assert run.data.metrics["norms.source_vector.distance"] == found.norms["source_vector"].distance
    assert run.inputs is not None
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"related@v1", "related@v2"}
    assert [file.path for file in mlflow.MlflowClient().list_artifacts(found.run)] == ["drift.png"]


def test_neighbours_of_a_sample_are_looked_for_among_all(plan: Any, workspace: Workspace) -> None:
    new, old = workspace.version("text@v2"), workspace.version("text@v1")
    with side_by_side(workspace.settings, new, old) as both:
        some = overlap_of(both, 40, 10, True, 3)
        all_of_them = overlap_of(both, 280, 10, True, 3)
    # The sample of one seed begins alike, whatever its size.
    np.testing.assert_array_equal(some, all_of_them[:40])
    assert 0.05 < some.mean() < 0.9


def test_a_version_does_not_drift_from_itself(workspace: Workspace) -> None:
    version = workspace.version("text@v1")
    found = drift(workspace, version, version, silent)
    assert (found.overlap_at_10, found.added, found.gone, found.similarities.distance) == (1, 0, 0, 0)


def test_the_command(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(workspace.settings.home))
    printed = CliRunner().invoke(app, ["drift", "text@v2", "text@v1"], catch_exceptions=False)
    assert printed.exit_code == 0, printed.stderr
    assert "From text@v1 to text@v2" in printed.stdout
    assert "share without image" in printed.stdout
    assert re.search(r"text@v1 is of snapshot \w{16}, text@v2 of \w{16}\n", printed.stdout)
    told = json.loads(CliRunner().invoke(app, ["drift", "text@v2", "text@v1", "--json"]).stdout)
    assert (told["shared"], told["norms"]["text_vector"]["distance"]) == (280, 0)
    refused = CliRunner().invoke(app, ["drift", "text@v2", "related@v1"])
    assert refused.exit_code == 1
    assert "text@v2 and related@v1 are not of the same space" in refused.stderr
