"""A package from outside the repository adds a group of settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pipelines.command import app
from tests.outside import write_package
from twinvec.errors import SettingsError
from twinvec.settings import Settings, load_settings

SOURCE = """
from pydantic import Field
from twinvec.settings import Group

class ToySettings(Group):
    rate: float = Field(0.5, gt=0, description="Learning rate.")
    epochs: int = Field(3, description="Number of epochs.")
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, target: str, package: str) -> None:
    written = write_package(folder, package, {"settings": SOURCE}, {"twinvec.settings": {name: target}})
    monkeypatch.syspath_prepend(written)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    install(tmp_path / "site", monkeypatch, "toy", "toy_one.settings:ToySettings", "toy_one")


@pytest.mark.usefixtures("toy")
def test_the_group_is_an_attribute(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    assert isinstance(settings, Settings)
    assert settings.toy.rate == 0.5  # type: ignore[attr-defined]
    changed = settings.model_copy(update={"seed": 3})
    assert (changed.seed, changed.toy.epochs, changed.home) == (3, 3, tmp_path / "home")  # type: ignore[attr-defined]
    assert settings.masked()["toy"] == {"rate": 0.5, "epochs": 3}
    assert settings.toy.deciding() == {"rate": 0.5, "epochs": 3}  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="frozen"):
        settings.toy.epochs = 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("toy")
def test_it_is_read_from_the_file_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("twinvec.toml").write_text("[toy]\nrate = 0.25\nepochs = 7\n", encoding="utf-8")
    monkeypatch.setenv("TWINVEC_TOY__EPOCHS", "9")
    toy = load_settings().toy  # type: ignore[attr-defined]
    assert (toy.rate, toy.epochs) == (0.25, 9)


@pytest.mark.usefixtures("toy")
def test_the_command_shows_it() -> None:
    shown = json.loads(CliRunner().invoke(app, ["settings", "--json"]).stdout)
    assert shown["toy.rate"] == {"value": 0.5, "description": "Learning rate."}


@pytest.mark.usefixtures("toy")
def test_unknown_keys_and_values_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("twinvec.toml").write_text("[toy]\nepoch = 7\nrate = -1.0\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "toy.epoch in twinvec.toml: no such setting; did you mean epochs?" in str(caught.value)
    assert "toy.rate in twinvec.toml: Input should be greater than 0" in str(caught.value)
    Path("twinvec.toml").unlink()
    monkeypatch.setenv("TWINVEC_TOY__RAT", "1")
    with pytest.raises(SettingsError, match="did you mean TWINVEC_TOY__RATE"):
        load_settings()


def test_without_the_package_the_group_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not hasattr(Settings(), "toy")
    Path("twinvec.toml").write_text("[toy]\nrate = 0.25\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no such setting"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("text", "{package}.settings:ToySettings", "which Twinvec has itself"),
        ("paths", "{package}.settings:ToySettings", "which Twinvec has itself"),
        ("toy", "{package}.settings:SOURCE", "cannot be loaded"),
        ("toy", "{package}.nowhere:ToySettings", "cannot be loaded"),
        ("toy", "{package}.settings:Field", "register a subclass of twinvec.settings.Group"),
    ],
)
def test_a_group_that_cannot_be_used_is_named(
    name: str, target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"toy_{abs(hash((name, target)))}"
    install(tmp_path / "site", monkeypatch, name, target.format(package=package), package)
    with pytest.raises(SettingsError, match=message):
        load_settings()
