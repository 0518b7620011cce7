"""Versions with planned differences, read in each other's space, through all the stores."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from feast import FeatureStore
from typer.testing import CliRunner

from pipelines.command import app
from pipelines.versions.align import align
from pipelines.versions.kind import Kind
from registry.models import State
from twinvec.errors import StateError
from twinvec.features.reading import read_vectors
from twinvec.releases.lineage import trace
from twinvec.workspace import Workspace


def silent(message: str) -> None:
    pass


def test_a_new_version_is_read_in_the_old_ones_space(plan: Any, workspace: Workspace) -> None:
    read, onto = workspace.version("related@v2"), workspace.version("related@v1")
    made = align(workspace, read, onto, Kind.ORTHOGONAL, silent)
    version = made.version
    assert (version.name, version.state, version.rows, made.made) == (
        "related_onto@v1",
        State.READY,
        300,
        True,
    )

    ids = [f"p{number:03}" for number in range(20, 320)]
    vectors = read_vectors(workspace.features, version, ids)
    assert vectors.present.all()
    source, target = vectors.fields["source_vector"], vectors.fields["target_vector"]
    np.testing.assert_allclose(source @ target.T, plan.new[0] @ plan.new[1].T, atol=1e-4)
    np.testing.assert_allclose(source, plan.new[0] @ plan.rotation.T, atol=0.05)

    figures = version.metrics
    assert figures["held_out"] == 280 // 5
    assert figures["recall_at_10"] > 0.85
    assert figures["recall_at_10_both_aligned"] > 0.85
    assert figures["recall_at_10_before"] < 0.4
    assert figures["same_mrr_at_10"] > 0.99
    assert figures["same_mrr_at_10_before"] < 0.4
    assert figures["relative_error"] == pytest.approx(0.05**2, rel=0.5)  # of 56 products

    assert workspace.version("related").name == "related@v2", (
        "the latest of the space is still what was trained"
    )
    again = align(workspace, read, onto, Kind.ORTHOGONAL, silent)
    assert (again.version.name, again.made) == ("related_onto@v1", False)


def test_it_can_be_traced_and_its_transform_used(plan: Any, workspace: Workspace) -> None:
    read, onto = workspace.version("related@v2"), workspace.version("related@v1")
    version = align(workspace, read, onto, Kind.ORTHOGONAL, silent).version
    found = trace(workspace, "related_onto@v1")
    parents = {found.nodes[parent].name for parent, child in found.edges if child == found.about.key}
    assert {"related@v1", "related@v2"} <= parents
    assert set(version.manifest["inputs"]) == {"related@v1", "related@v2"}
    assert version.run_id is not None
    run = mlflow.get_run(version.run_id)
    assert run.data.params["kind"] == "orthogonal"
    assert run.data.metrics["best/recall_at_10"] == pytest.approx(version.metrics["recall_at_10"])

    # Without Twinvec: the view by Feast, the model by MLflow.
    wanted = pd.DataFrame({"product_id": ["p100"], "event_timestamp": [datetime.now(UTC)]})
    store = FeatureStore(repo_path=str(workspace.settings.home))
    table = store.get_historical_features(wanted, ["related_onto__v1:target_vector"]).to_df()
    model = mlflow.pytorch.load_model(version.model_uri)
    rows = slice(80, 83)  # p100 is the first of them in the second snapshot
    computed = model(*(torch.from_numpy(each[rows]) for each in plan.new))
    np.testing.assert_allclose(table["target_vector"][0], computed[1][0].numpy(), atol=1e-5)
    served = mlflow.pyfunc.load_model(version.model_uri)
    given = dict(zip(("source_vector", "target_vector"), (each[rows] for each in plan.new), strict=True))
    answer = served.predict(given)
    np.testing.assert_allclose(answer["output_1"][0], table["target_vector"][0], atol=1e-5)


def test_affine_leads_to_another_dimension_and_keeps_unit_length(plan: Any, workspace: Workspace) -> None:
    read, onto = workspace.version("text@v2"), workspace.version("text@v1")
    with pytest.raises(StateError, match=r"5 dimensions and text@v1 8[^$]*--kind affine"):
        align(workspace, read, onto, Kind.ORTHOGONAL, silent)
    version = align(workspace, read, onto, Kind.AFFINE, silent).version
    assert (version.name, version.dimension) == ("text_onto@v1", 8)
    vectors = read_vectors(workspace.features, version, [f"p{n:03}" for n in range(20, 300)]).only()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = (vectors * plan.text[0][20:]).sum(1)
    assert cosines.mean() > 0.7, "5 of 8 numbers are there"
    assert "recall_at_10_before" not in version.metrics


def test_what_cannot_be_aligned_is_refused_before_a_version_is_begun(plan: Any, workspace: Workspace) -> None:
    related, text = workspace.version("related@v2"), workspace.version("text@v1")
    with pytest.raises(StateError, match="in its own space already"):
        align(workspace, related, related, Kind.AFFINE, silent)
    with pytest.raises(StateError, match="not of the same space"):
        align(workspace, related, text, Kind.AFFINE, silent)
    stranger = make_few(workspace)
    with pytest.raises(StateError, match=r"share 1 of their 300 and 1 products"):
        align(workspace, related, stranger, Kind.ORTHOGONAL, silent)
    with pytest.raises(Exception, match="there is no version related_onto"):
        workspace.version("related_onto")


def make_few(workspace: Workspace) -> Any:
    from twinvec.stage import Inputs, Outcome, make_version

    vectors = np.ones((1, 6), np.float32)
    outcome = Outcome(["p100"], {"source_vector": vectors, "target_vector": vectors}, "dot", False, "0", "0")
    inputs = Inputs(workspace, workspace.snapshot(), {})
    return make_version(inputs, "related", "few", {}, lambda *_: outcome, print)


def test_the_command(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_HOME", str(workspace.settings.home))
    arguments = ["align", "related@v2", "--onto", "related@v1", "--kind", "affine"]
    printed = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert printed.exit_code == 0, printed.stderr
    assert (
        "related_onto@v1: related@v2 in the space of related@v1, on 56 products not fitted" in printed.stdout
    )
    assert "Feast: the view related_onto__v1" in printed.stdout
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert (told["version"], told["made"]) == ("related_onto@v1", False)
    assert told["metrics"]["recall_at_10"] > 0.8
    refused = CliRunner().invoke(app, ["align", "related@v2", "--onto", "text@v1"])
    assert refused.exit_code == 1
    assert "hint: name a version of related" in refused.stderr
