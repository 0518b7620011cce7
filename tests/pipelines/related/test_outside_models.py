"""A model that a package outside the repository registers: its settings, its training, and wrong names."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from examples import own_model
from pipelines.command import app
from pipelines.graph.product_graph import ProductGraph
from pipelines.related.fitting import fit, make_plan
from pipelines.related.models import load_model, model_names
from tests.outside import write_package
from twinvec.errors import SettingsError
from twinvec.settings import RelatedSettings, load_settings

MakeGraph = Callable[..., ProductGraph]


@pytest.fixture
def mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package that registers the model `mean`; nothing else is set."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("TWINVEC_")]:
        monkeypatch.delenv(variable)
    site = tmp_path / "site"
    entry_points = {
        "twinvec.models": {"mean": "mean_model.model:MODEL"},
        "twinvec.model_settings": {"mean": "mean_model.settings:MeanSettings"},
    }
    write_package(
        site, "mean_model", {"model": own_model.MODEL, "settings": own_model.SETTINGS}, entry_points
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "mean_model"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    return site


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def test_it_is_trained_like_ours(mean: Path, random_graph: MakeGraph) -> None:
    assert model_names()[-1] == "mean"
    graph = random_graph(8)
    options = RelatedSettings.model_validate(
        {"recipe": "mean", "dimension": 12, "sampler": "csr", "mean": {"epochs": 2}}
    )
    content = torch.randn(graph.products, 6)
    plan = make_plan(graph, content, options, 5)
    assert list(plan.graph) == list(load_model("mean").relations(graph)) == ["copurchase"]
    result = fit(plan, options, torch.device("cpu"), 5)
    assert len(result.history) == 2
    assert result.source.shape == result.target.shape == (graph.products, 12)
    assert result.source.isfinite().all()


def test_its_settings_are_read_from_the_file_and_the_environment(
    mean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("twinvec.toml").write_text("[related]\nrecipe = 'mean'\n[related.mean]\nepochs = 7\ndraws = 4\n")
    monkeypatch.setenv("TWINVEC_RELATED__MEAN__EPOCHS", "9")
    settings = load_settings()
    written = settings.masked()["related"]["mean"]
    assert (written["epochs"], written["draws"], written["temperature"]) == (9, 4, 1.0)
    assert settings.related.deciding()["mean"] == written
    assert not set(RelatedSettings.own_groups()) & set(settings.related.deciding())


def test_settings_of_a_model_that_is_not_chosen_decide_nothing(mean: Path) -> None:
    plain, changed = (RelatedSettings.model_validate(values) for values in ({}, {"mean": {"epochs": 7}}))
    assert plain.deciding() == changed.deciding()
    chosen, same = (
        RelatedSettings.model_validate({"recipe": "mean", **values})
        for values in ({}, {"mean": {"epochs": 2}})
    )
    assert chosen.deciding() == same.deciding()
    assert chosen.deciding()["mean"]["epochs"] == 2


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (
            "[related.mean]\nepoch = 3",
            "related.mean.epoch in twinvec.toml: no such setting; did you mean epochs?",
        ),
        ("[related.meen]\nepochs = 3", "related.meen in twinvec.toml: no such setting; did you mean mean?"),
        ("[related]\nepochs = 3", "related.epochs in twinvec.toml: no such setting"),
        (
            "[related.mean]\nepochs = 'many'",
            "related.mean.epochs in twinvec.toml: Input should be a valid integer",
        ),
        (
            "[related]\nrecipe = 'meann'",
            "there is no model 'meann'; did you mean 'mean'? models are 'daemon', 'gat',",
        ),
    ],
)
def test_wrong_settings_are_refused(mean: Path, text: str, refused: str) -> None:
    Path("twinvec.toml").write_text(text)
    assert refused in refusal()


def test_wrong_variables_are_refused(mean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_RELATED__MEAN__EPOCH", "3")
    assert "did you mean TWINVEC_RELATED__MEAN__EPOCHS?" in refusal()


def test_the_command_lists_it(mean: Path) -> None:
    # Wide, so that the name is not broken over lines.
    help_text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "300"}).stdout
    assert "mean" in help_text
    refused = CliRunner().invoke(app, ["train", "related", "--model", "meann"])
    assert refused.exit_code == 1
    assert "did you mean 'mean'?" in refused.stderr


def test_settings_that_name_it_load_without_torch(mean: Path) -> None:
    Path("twinvec.toml").write_text("[related]\nrecipe = 'mean'\n[related.mean]\nepochs = 7\n")
    script = (
        "import sys; from twinvec.settings import load_settings; load_settings(); "
        "assert not {'torch', 'mean_model.model', 'pipelines'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(mean)})


def test_without_the_package_the_name_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no model 'mean'"):
        RelatedSettings(recipe="mean")
    with pytest.raises(SettingsError, match="there is no model 'mean'"):
        load_model("mean")
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        RelatedSettings.model_validate({"mean": {"epochs": 3}})
