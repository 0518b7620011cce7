"""Everything that is the same for every pipeline: numbers, lineage, the manifest in every store, and failures."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from pydantic import SecretStr

from registry import operations
from registry.database import transaction
from registry.models import State, Version
from twinvec.catalogue.snapshot import Snapshot
from twinvec.errors import StoreError
from twinvec.features.manifest import Manifest
from twinvec.progress import Progress
from twinvec.settings import MlflowSettings
from twinvec.stage import Inputs, Outcome, Train, fingerprint, make_version
from twinvec.tracking import Run
from twinvec.workspace import Workspace

PARAMETERS = {"text": {"batch": 7}, "seed": 3}


def register(run: Run, name: str) -> str:
    """Register a model of one file, and return its URI."""
    client = MlflowClient()
    client.log_text(run.id, "{}", "model/MLmodel")
    with suppress(mlflow.MlflowException):  # it may have versions already
        client.create_registered_model(name)
    source = f"{client.get_run(run.id).info.artifact_uri}/model"
    return f"models:/{name}/{client.create_model_version(name, source, run.id).version}"


def gives(space: str, model: str = "m", value: float = 0.5, rows: int = 3) -> Train:
    def train(_inputs: Inputs, run: Run, _progress: Progress) -> Outcome:
        run.log_epoch(0, {"loss": 0.25})
        vectors = {f"{space}_vector": np.full((rows, 4), value, np.float32)}
        metrics = {"mrr_at_10": 0.5}
        return Outcome(
            ["a", "b", "c"][:rows], vectors, "dot", False, model, "p", metrics, lambda: register(run, space)
        )

    return train


def make(workspace: Workspace, space: str, train: Train, *parents: Version) -> Version:
    inputs = Inputs(workspace, workspace.snapshot(), {parent.space: parent for parent in parents})
    return make_version(inputs, space, "mark", PARAMETERS, train, lambda message: None)


def runs(workspace: Workspace, space: str) -> list[MlflowRun]:
    """The runs of a space, the newest first."""
    mlflow.set_tracking_uri(workspace.settings.tracking_uri())
    return list(mlflow.search_runs(experiment_names=[f"twinvec/{space}"], output_format="list"))


def stored(workspace: Workspace) -> list[Version]:
    with transaction(workspace.engine) as session:
        return list(operations.versions(session))


def test_a_fingerprint_is_of_all_that_a_version_is_made_from() -> None:
    text = Version(space="text", number=1, digest="0" * 16)
    settings = {"related": {"layers": 2}, "seed": 0}
    base = fingerprint("related", "s", {"text": text}, settings, 1)
    again = Version(space="text", number=2, digest="0" * 16)
    other = Version(space="text", number=1, digest="1" * 16)
    assert fingerprint("related", "s", {"text": again}, {"seed": 0, "related": {"layers": 2}}, 1) == base
    changed = {
        fingerprint("aligned", "s", {"text": text}, settings, 1),
        fingerprint("related", "t", {"text": text}, settings, 1),
        fingerprint("related", "s", {"text": other}, settings, 1),
        fingerprint("related", "s", {"image": text}, settings, 1),
        fingerprint("related", "s", {}, settings, 1),
        fingerprint("related", "s", {"text": text}, {**settings, "seed": 1}, 1),
        fingerprint("related", "s", {"text": text}, {**settings, "related": {"layers": 3}}, 1),
        fingerprint("related", "s", {"text": text}, settings, 2),
    }
    assert len(changed | {base}) == 9


def test_one_manifest_is_in_every_store(workspace: Workspace, snapshot: Snapshot) -> None:
    text = make(workspace, "text", gives("text"))
    made = make(workspace, "aligned", gives("aligned"), text)
    assert (made.name, made.state, made.error) == ("aligned@v1", State.READY, None)

    row = workspace.version("aligned@v1")
    assert (row.rows, row.dimension, row.metrics, row.model_uri) == (
        3, 4, {"mrr_at_10": 0.5}, "models:/aligned/1",
    )  # fmt: skip
    assert [parent.name for parent in row.inputs] == ["text@v1"]
    with transaction(workspace.engine) as session:
        lineage = operations.lineage(session.get_one(Version, row.id))
    assert [version.name for version in lineage] == ["text@v1", "aligned@v1"]

    written = Manifest.from_json(json.loads((Path(row.path) / "manifest.json").read_text()))
    assert written == Manifest.from_json(row.manifest)
    assert written.inputs == {"text@v1": text.digest}
    assert written.snapshot == snapshot.id
    view = FeatureStore(repo_path=str(workspace.settings.home)).get_feature_view("aligned__v1")
    (run,) = runs(workspace, "aligned")
    assert {written.digest} == {row.digest, view.tags["manifest"], run.data.tags["twinvec.manifest"]}
    assert view.tags["mlflow_run"] == row.run_id == run.info.run_id
    logged = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/manifest.json")
    assert logged == row.manifest
    assert run.info.run_name == "aligned@v1"
    assert run.data.params == {"text.batch": "7", "seed": "3"}
    assert run.data.metrics == {"loss": 0.25, "best/mrr_at_10": 0.5}
    assert run.inputs is not None
    assert {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs} == {
        f"snapshot {snapshot.id}": snapshot.id,
        "text@v1": text.digest,
    }


def test_a_space_with_no_vectors_has_files_and_no_view(workspace: Workspace) -> None:
    def train(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
        def write(folder: Path) -> None:
            (folder / "edges.txt").write_text("a b")

        return Outcome((), {}, "dot", False, "edges", "p", write=write)

    graph = make(workspace, "graph", train)
    assert sorted(path.name for path in Path(graph.path).iterdir()) == ["edges.txt", "manifest.json"]
    assert (graph.rows, graph.dimension) == (0, None)
    assert workspace.features.list_feature_views() == []
    made = make(workspace, "aligned", gives("aligned"), graph)
    assert made.manifest["graph"] == graph.digest


def raises(error: BaseException) -> Train:
    def train(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
        raise error

    return train


def bad_write(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
    def write(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise OSError(28, "No space left on device")

    return Outcome((), {}, "dot", False, "m", "p", write=write)


@pytest.mark.parametrize(
    ("train", "error", "says"),
    [
        (raises(ZeroDivisionError("by what?")), ZeroDivisionError, "ZeroDivisionError: by what?"),
        (raises(KeyboardInterrupt()), KeyboardInterrupt, "KeyboardInterrupt"),
        (bad_write, OSError, "No space left"),
        (gives("text", value=float("nan")), StoreError, "StoreError: "),
    ],
    ids=["train", "interrupt", "disk", "not finite"],
)
def test_a_failure_leaves_a_failed_version_and_nothing_else(
    workspace: Workspace, train: Train, error: type[BaseException], says: str
) -> None:
    with pytest.raises(error):
        make(workspace, "text", train)
    (version,) = stored(workspace)
    assert version.state == State.FAILED
    assert says in (version.error or "")
    versions = workspace.settings.home / "versions" / "text"
    assert not versions.exists() or list(versions.iterdir()) == []
    assert workspace.features.list_feature_views() == []
    (run,) = runs(workspace, "text")
    assert run.info.status == "FAILED"
    assert run.info.run_id == version.run_id

    after = make(workspace, "text", gives("text"))
    assert (after.name, after.state) == ("text@v2", State.READY)
    assert workspace.version("text").name == "text@v2"
    assert [(each.name, each.state) for each in stored(workspace)] == [
        ("text@v1", State.FAILED),
        ("text@v2", State.READY),
    ]
    assert mlflow.active_run() is None


def test_an_error_of_any_length_is_kept_in_short(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="xxx"):
        make(workspace, "text", raises(ValueError("x" * 10_000)))
    assert len(stored(workspace)[0].error or "") == 500


def test_a_tracking_store_that_cannot_be_used_is_a_failure_too(workspace: Workspace) -> None:
    elsewhere = MlflowSettings(tracking_uri=SecretStr("nonsense://nowhere"))
    broken = Workspace(workspace.settings.model_copy(update={"mlflow": elsewhere}))
    with pytest.raises(StoreError, match="nonsense"):
        make(broken, "text", gives("text"))
    (version,) = stored(workspace)
    assert (version.state, version.run_id) == (State.FAILED, None)
    assert "nonsense" in (version.error or "")


def test_vectors_are_read_back_in_the_order_asked_for(workspace: Workspace) -> None:
    def train(_inputs: Inputs, _run: Run, _progress: Progress) -> Outcome:
        vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
        return Outcome(["c", "a"], {"text_vector": vectors}, "dot", False, "m", "p")

    text = make(workspace, "text", train)
    inputs = Inputs(workspace, workspace.snapshot(), {"text": text})
    read = inputs.vectors("text", ["a", "b", "c"])
    assert read.present.tolist() == [True, False, True]
    assert read.only().tolist() == [[4, 5, 6, 7], [0, 0, 0, 0], [0, 1, 2, 3]]
    assert inputs.folder("text") == Path(text.path)
    table = pq.read_table(Path(text.path) / "vectors")
    assert table["product_id"].to_pylist() == ["c", "a"]
    assert MlflowClient().search_registered_models() == []
