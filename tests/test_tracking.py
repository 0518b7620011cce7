"""Runs on a real SQLite store, one for the module: MLflow takes seconds to make its tables."""

from __future__ import annotations

import importlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import mlflow.pytorch
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from torch import Tensor, nn
from typer.testing import CliRunner

from pipelines.command import app
from registry.models import Snapshot, Version
from twinvec import tracking
from twinvec.errors import NotFoundError, StoreError
from twinvec.features.manifest import Manifest
from twinvec.settings import Settings
from twinvec.tracking.loading import _without_bytecode
from twinvec.tracking.model_files import files_digest, model_folder

PARAMETERS = {"epochs": 3, "model": {"dimension": 4, "layers": [1, 2]}, **{f"p{i}": i for i in range(120)}}


class Pair(nn.Module):
    """Two outputs from two inputs of unrelated lengths, as over a sampled block."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Linear(4, 3), nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        gathered = self.dropout(features[edges[:, 0]])
        summed = torch.zeros_like(features).index_add(0, edges[:, 1], gathered)
        return self.source(features + summed), self.target(features)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("tracking") / "home")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return Snapshot(id="0123456789abcdef", path=str(tmp_path_factory.mktemp("snapshot")))


@pytest.fixture(scope="module")
def trained(settings: Settings, snapshot: Snapshot) -> tuple[MlflowRun, str, nn.Module, Tensor]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))
    example = torch.randn(5, 4)
    text = Version(space="text", number=3, path=snapshot.path, digest="fedcba9876543210")
    with tracking.start_run(settings, "aligned", "aligned@v1", PARAMETERS, snapshot, [text]) as run:
        for epoch in range(3):
            run.log_epoch(epoch, {"loss": 1 / (epoch + 1), "validation/mrr@10": 0.1 * epoch})
        run.log_best({"mrr@10": 0.2})
        uri = run.log_model(model, {"features": example})
    assert model.training, "logging leaves the model as it was"
    return MlflowClient().get_run(run.id), uri, model, example


def test_parameters_metrics_and_inputs_are_there(
    trained: tuple[MlflowRun, str, nn.Module, Tensor], settings: Settings, snapshot: Snapshot
) -> None:
    run = trained[0]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "aligned@v1"
    assert MlflowClient().get_experiment(run.info.experiment_id).name == "twinvec/aligned"
    assert len(run.data.params) == 123
    assert run.data.params["model.layers"] == "[1, 2]"
    assert run.data.metrics == pytest.approx(
        {"loss": 1 / 3, "validation/mrr_at_10": 0.2, "best/mrr_at_10": 0.2}
    )
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert run.inputs is not None
    inputs = {used.dataset.name: used for used in run.inputs.dataset_inputs}
    assert {name: used.dataset.digest for name, used in inputs.items()} == {
        "snapshot 0123456789abcdef": snapshot.id,
        "text@v3": "fedcba9876543210",
    }
    assert snapshot.path in inputs["text@v3"].dataset.source
    assert "curves.png" in [file.path for file in MlflowClient().list_artifacts(run.info.run_id)]
    assert list((settings.home / "mlartifacts" / "aligned").rglob("curves.png"))


def test_the_model_comes_back_without_pickle_and_computes_the_same(
    trained: tuple[MlflowRun, str, nn.Module, Tensor], settings: Settings
) -> None:
    _, uri, model, example = trained
    loaded = mlflow.pytorch.load_model(uri)
    model.eval()
    for features in (example, torch.randn(1, 4), torch.randn(117, 4)):
        torch.testing.assert_close(loaded(features), model(features))
    files = {file.suffix for file in (settings.home / "mlartifacts").rglob("*") if file.is_file()}
    assert ".pt2" in files
    assert not files & {".pth", ".pkl", ".pickle"}
    information = mlflow.models.get_model_info(uri)
    assert information.signature.inputs.inputs[0].shape == (-1, 4)
    assert information.signature.outputs.inputs[0].shape == (-1, 2)
    assert information.saved_input_example_info is not None


def test_a_model_of_several_inputs_and_outputs_comes_back(
    settings: Settings, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(4)
    model = Pair()
    features, edges = torch.randn(6, 4), torch.randint(6, (9, 2))
    with tracking.start_run(settings, "related", "related@v1", {}, snapshot) as run:
        uri = run.log_model(model, {"features": features, "edges": edges})
    printed = "".join(capsys.readouterr())
    assert "model" not in printed, "MLflow tells nobody what it registers"
    registered = MlflowClient().get_model_version("related", uri.rpartition("/")[2])
    assert registered.source is not None
    logged = MlflowClient().get_logged_model(registered.source.removeprefix("models:/"))
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [
        {"name": "related", "version": int(registered.version)}
    ]
    loaded = mlflow.pytorch.load_model(uri)
    model.eval()
    for nodes, links in ((6, 9), (11, 2), (3, 40)):
        features, edges = torch.randn(nodes, 4), torch.randint(nodes, (links, 2))
        for given, expected in zip(loaded(features, edges), model(features, edges), strict=True):
            torch.testing.assert_close(given, expected)
    signature = mlflow.models.get_model_info(uri).signature
    assert [tensor.name for tensor in signature.inputs.inputs] == ["features", "edges"]
    assert [tensor.name for tensor in signature.outputs.inputs] == ["output_0", "output_1"]
    served = mlflow.pyfunc.load_model(uri)
    answer = served.predict({"features": features.numpy(), "edges": edges.numpy()})
    for place, expected in enumerate(model(features, edges)):
        np.testing.assert_allclose(answer[f"output_{place}"], expected.detach().numpy(), atol=1e-6)
    assert served.input_example["edges"].shape == (9, 2)


def test_an_example_of_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        tracking.Run("id", "text").log_model(nn.Linear(2, 2), {"features": torch.zeros(1, 2)})


def test_an_exception_marks_the_run_failed(settings: Settings, snapshot: Snapshot) -> None:
    runs: list[tracking.Run] = []

    def diverge() -> None:
        with tracking.start_run(settings, "text", "text@v9", {}, snapshot) as run:
            runs.append(run)
            run.log_epoch(0, {"loss": float("nan")})
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        diverge()
    assert MlflowClient().get_run(runs[0].id).info.status == "FAILED"
    assert mlflow.active_run() is None


def test_a_run_inside_a_run_is_its_child(settings: Settings, snapshot: Snapshot) -> None:
    with (
        tracking.start_run(settings, "text", "sweep", {}, snapshot) as parent,
        tracking.start_run(settings, "text", "text@v2", {"rate": 0.1}, snapshot) as child,
    ):
        pass
    assert MlflowClient().get_run(child.id).data.tags["mlflow.parentRunId"] == parent.id


def test_an_alias_is_set_and_moved(
    trained: tuple[MlflowRun, str, nn.Module, Tensor], settings: Settings, snapshot: Snapshot
) -> None:
    _, first, _, example = trained
    assert tracking.alias_uri(settings, "aligned", tracking.LIVE) is None
    assert tracking.alias_uri(settings, "nothing", tracking.LIVE) is None
    with tracking.start_run(settings, "aligned", "aligned@v2", {}, snapshot) as run:
        second = run.log_model(nn.Linear(4, 2), {"features": example})
    assert (first, second) == ("models:/aligned/1", "models:/aligned/2")
    tracking.set_alias(settings, first, tracking.LIVE)
    assert tracking.alias_uri(settings, "aligned", tracking.LIVE) == first
    tracking.set_alias(settings, second, tracking.LIVE)
    tracking.set_alias(settings, first, tracking.PREVIOUS)
    assert tracking.alias_uri(settings, "aligned", tracking.LIVE) == second
    assert tracking.alias_uri(settings, "aligned", tracking.PREVIOUS) == first
    assert MlflowClient().get_model_version_by_alias("aligned", "live").run_id == run.id
    with pytest.raises(NotFoundError, match="models:/m-1"):
        tracking.set_alias(settings, "models:/m-1", tracking.LIVE)


def test_the_digest_of_a_model_is_that_of_its_weights() -> None:
    torch.manual_seed(5)
    model, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    assert tracking.model_digest(model) == tracking.model_digest(other)
    with torch.no_grad():
        other.weight[1] += 1e-7
    assert tracking.model_digest(model) != tracking.model_digest(other)
    assert tracking.model_digest(nn.Linear(2, 3)) != tracking.model_digest(nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("name", "legal"), [("hit@10", "hit_at_10"), ("a=b", "a_b"), ("best/mrr", "best/mrr")]
)
def test_metric_names_are_made_legal(name: str, legal: str) -> None:
    assert tracking.metric_name(name) == legal


def test_nothing_is_written_outside_the_home(
    settings: Settings, tmp_path: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with tracking.start_run(settings, "text", "text@v3", {}, snapshot) as run:
        run.log_epoch(0, {"loss": 1.0})
    assert not list(tmp_path.iterdir())


class Planted:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def plant_pickle(folder: Path, mark: Path) -> None:
    """As MLflow reads one, before it looks for `model.pt2`."""
    torch.save(Planted(mark), folder / "data/model.pth")
    (folder / "data/pickle_module_info.txt").write_text("mlflow.pytorch.pickle_module")


def plant_code(folder: Path, mark: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code/yaml.py").write_text(f"open({str(mark)!r}, 'w')")
    described = (folder / "MLmodel").read_text().replace("code: null", "code: code")
    (folder / "MLmodel").write_text(described)


def plant_link(folder: Path, mark: Path) -> None:
    (folder / "data/model.pt2").unlink()
    (folder / "data/model.pt2").symlink_to(mark)


def plant_weights(folder: Path, mark: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(4, 2), (torch.ones(3, 4),)), folder / "data/model.pt2")


def plant_code_in_the_description(folder: Path, mark: Path) -> None:
    described = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(described.replace("code: null", "code: data"))


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (plant_pickle, "holds data/(model.pth|pickle_module_info.txt), which Twinvec does not log"),
        (plant_code, "holds code/yaml.py, which Twinvec does not log"),
        (plant_code_in_the_description, "names code to be run"),
        (plant_link, "is not a regular file"),
        (plant_weights, "has weights .* and aligned@v1 was made by"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_loaded_from_files_that_were_put_in_place(
    settings: Settings,
    trained: tuple[MlflowRun, str, nn.Module, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[Path, Path], None],
    says: str,
    known: bool,
) -> None:
    _, uri, model, _ = trained
    with model_folder(settings, uri) as folder:
        kept = tracking.logged_files(settings, uri)
        there = copy_of(folder, tmp_path / "kept")
        plant(folder, mark := tmp_path / "mark")
    manifest = Manifest(
        "aligned", "product_id", ("v",), 2, "dot", False, 1, "0" * 16, None, tracking.model_digest(model), ""
    )
    version = Version(
        space="aligned",
        number=1,
        model_uri=uri,
        manifest=manifest.to_json(),
        model_files=kept if known else None,
    )
    paths = list(sys.path)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")  # as a host may
    try:
        says = "are not those that were logged" if known and plant is not plant_link else says
        with pytest.raises(StoreError, match=says):
            tracking.load_model(settings, version, "train it again")
    finally:
        shutil.rmtree(folder)
        copy_of(there, folder)
    assert not mark.exists()
    assert sys.path == paths
    assert tracking.load_model(settings, version, "").state_dict().keys() == model.state_dict().keys()


def test_bytecode_beside_the_code_of_a_model_is_neither_counted_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own client writes it; and somebody may put there what the source does not say."""
    source = tmp_path / "planted_model.py"
    source.write_text("VALUE = 1\n")
    times, digest = (source.stat().st_atime_ns, source.stat().st_mtime_ns), files_digest(tmp_path)
    source.write_text("VALUE = 2\n")
    os.utime(source, ns=times)
    py_compile.compile(str(source))
    source.write_text("VALUE = 1\n")
    os.utime(source, ns=times)
    assert files_digest(tmp_path) == digest
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("planted_model").VALUE == 2
    del sys.modules["planted_model"]
    with _without_bytecode():
        assert importlib.import_module("planted_model").VALUE == 1
    del sys.modules["planted_model"]


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def test_the_command_never_unpickles(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(variable, "")
    assert CliRunner().invoke(app, ["settings", "--json"]).exit_code == 0
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"


def test_a_pickled_model_is_not_loaded(
    settings: Settings, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    with tracking.start_run(settings, "image", "image@v1", {}, snapshot):
        logged = mlflow.pytorch.log_model(
            nn.Linear(2, 2),
            name="model",
            registered_model_name="image",
            serialization_format="pickle",
            pip_requirements=["torch"],
        )
    uri = f"models:/image/{logged.registered_model_version}"
    version = Version(space="image", number=1, path=snapshot.path, model_uri=uri)
    with pytest.raises(
        StoreError,
        match=r"image@v1.*cannot be loaded.*data/(model.pth|pickle_module_info.txt), which Twinvec",
    ) as raised:
        tracking.load_model(settings, version, "train it again")
    assert raised.value.hint == "train it again"
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "true", "the host's own setting is restored"
    version.model_uri = None
    with pytest.raises(StoreError, match="has no model in MLflow"):
        tracking.load_model(settings, version, "train it again")


def test_a_program_that_makes_the_database_of_mlflow_prints_nothing(tmp_path: Path) -> None:
    program = (
        "from twinvec.settings import Settings; from twinvec.tracking.store import use_experiment; "
        f"use_experiment(Settings(home={str(tmp_path)!r}), 'text')"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (tmp_path / "mlflow.db").is_file()
    assert "mlflow" not in made.stderr.lower(), made.stderr
