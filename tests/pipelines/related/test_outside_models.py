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

from pipelines.command import app
from pipelines.graph.product_graph import ProductGraph
from pipelines.related.fitting import fit, make_plan
from pipelines.related.models import load_model, model_names
from tests.outside import write_package
from twinvec.errors import SettingsError
from twinvec.settings import RelatedSettings, load_settings

MakeGraph = Callable[..., ProductGraph]
MODEL = """
from torch import nn

from pipelines.related.data import COPURCHASE, relations as all_relations
from pipelines.related.plan import Model, softmax_plan
from toy_model.settings import ToySettings
from twinvec.nn.layers.mean import MeanLayer
from twinvec.nn.models import ContentEncoder


class Toy(ContentEncoder):
    def __init__(self, content, dimension, layers):
        super().__init__(content, dimension)
        self.layers = nn.ModuleList(MeanLayer(dimension, dimension, [COPURCHASE]) for _ in range(layers))


def relations(graph):
    return {COPURCHASE: all_relations(graph, reverse=False)[COPURCHASE]}


def plan(graph, content, options, seed):
    toy = options.group("toy", ToySettings)
    model = Toy(content.shape[1], options.uncalibrated, options.layers)
    return softmax_plan(model, graph, content, relations(graph), toy, options.calibrate)


MODEL = Model(plan, relations)
"""
SETTINGS = """
from twinvec.settings.related_models import SoftmaxSettings


class ToySettings(SoftmaxSettings):
    epochs: int = 3
    temperature: float = 1.0
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package that registers the model `toy`; nothing else is set."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("TWINVEC_")]:
        monkeypatch.delenv(variable)
    site = tmp_path / "site"
    entry_points = {
        "twinvec.models": {"toy": "toy_model.model:MODEL"},
        "twinvec.model_settings": {"toy": "toy_model.settings:ToySettings"},
    }
    write_package(site, "toy_model", {"model": MODEL, "settings": SETTINGS}, entry_points)
    for name in [name for name in sys.modules if name.split(".")[0] == "toy_model"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    return site


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


def test_it_is_trained_like_ours(toy: Path, random_graph: MakeGraph) -> None:
    assert model_names()[-1] == "toy"
    graph = random_graph(8)
    options = RelatedSettings.model_validate(
        {"recipe": "toy", "dimension": 12, "sampler": "csr", "toy": {"epochs": 2}}
    )
    content = torch.randn(graph.products, 6)
    plan = make_plan(graph, content, options, 5)
    assert list(plan.graph) == list(load_model("toy").relations(graph)) == ["copurchase"]
    result = fit(plan, options, torch.device("cpu"), 5)
    assert len(result.history) == 2
    assert result.source.shape == result.target.shape == (graph.products, 12)
    assert result.source.isfinite().all()


def test_its_settings_are_read_from_the_file_and_the_environment(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("twinvec.toml").write_text("[related]\nrecipe = 'toy'\n[related.toy]\nepochs = 7\ndraws = 4\n")
    monkeypatch.setenv("TWINVEC_RELATED__TOY__EPOCHS", "9")
    settings = load_settings()
    written = settings.masked()["related"]["toy"]
    assert (written["epochs"], written["draws"], written["temperature"]) == (9, 4, 1.0)
    assert settings.related.deciding()["toy"] == written
    assert not set(RelatedSettings.own_groups()) & set(settings.related.deciding())


def test_settings_of_a_model_that_is_not_chosen_decide_nothing(toy: Path) -> None:
    plain, changed = (RelatedSettings.model_validate(values) for values in ({}, {"toy": {"epochs": 7}}))
    assert plain.deciding() == changed.deciding()
    chosen, same = (
        RelatedSettings.model_validate({"recipe": "toy", **values}) for values in ({}, {"toy": {"epochs": 3}})
    )
    assert chosen.deciding() == same.deciding()
    assert chosen.deciding()["toy"]["epochs"] == 3


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (
            "[related.toy]\nepoch = 3",
            "related.toy.epoch in twinvec.toml: no such setting; did you mean epochs?",
        ),
        ("[related.toi]\nepochs = 3", "related.toi in twinvec.toml: no such setting; did you mean toy?"),
        ("[related]\nepochs = 3", "related.epochs in twinvec.toml: no such setting"),
        (
            "[related.toy]\nepochs = 'many'",
            "related.toy.epochs in twinvec.toml: Input should be a valid integer",
        ),
        (
            "[related]\nrecipe = 'toyy'",
            "there is no model 'toyy'; did you mean 'toy'? models are 'daemon', 'gat',",
        ),
    ],
)
def test_wrong_settings_are_refused(toy: Path, text: str, refused: str) -> None:
    Path("twinvec.toml").write_text(text)
    assert refused in refusal()


def test_wrong_variables_are_refused(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_RELATED__TOY__EPOCH", "3")
    assert "did you mean TWINVEC_RELATED__TOY__EPOCHS?" in refusal()


def test_the_command_lists_it(toy: Path) -> None:
    # Wide, so that the name is not broken over lines.
    help_text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "300"}).stdout
    assert "toy" in help_text
    refused = CliRunner().invoke(app, ["train", "related", "--model", "toyy"])
    assert refused.exit_code == 1
    assert "did you mean 'toy'?" in refused.stderr


def test_settings_that_name_it_load_without_torch(toy: Path) -> None:
    Path("twinvec.toml").write_text("[related]\nrecipe = 'toy'\n[related.toy]\nepochs = 7\n")
    script = (
        "import sys; from twinvec.settings import load_settings; load_settings(); "
        "assert not {'torch', 'toy_model.model', 'pipelines'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(toy)})


def test_without_the_package_the_name_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no model 'toy'"):
        RelatedSettings(recipe="toy")
    with pytest.raises(SettingsError, match="there is no model 'toy'"):
        load_model("toy")
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        RelatedSettings.model_validate({"toy": {"epochs": 3}})
