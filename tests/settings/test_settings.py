from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path

import pytest
from pydantic import ValidationError

from twinvec.errors import SettingsError
from twinvec.settings import Settings, load_settings
from twinvec.settings.group import Group


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for variable in list(os.environ):
        if variable.upper().startswith("TWINVEC_"):
            monkeypatch.delenv(variable)


def write(text: str, name: str = "twinvec.toml") -> Path:
    path = Path(name).absolute()
    path.write_text(text, encoding="utf-8")
    return path


def message(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**overrides)
    assert caught.value.hint
    return str(caught.value)


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == tmp_path / ".twinvec"
    assert settings.related.dimension == 128
    assert settings.registry_url() == f"sqlite:///{tmp_path}/.twinvec/registry.db"
    assert settings.tracking_uri() == f"sqlite:///{tmp_path}/.twinvec/mlflow.db"
    assert not settings.home.exists(), "reading the settings writes nothing"


def test_file() -> None:
    write('seed = 7\n[aligned]\nepochs = 3\n[qdrant]\nurl = "http://search:6333"\n')
    settings = load_settings()
    assert (settings.seed, settings.aligned.epochs, settings.qdrant.url) == (7, 3, "http://search:6333")
    assert settings.aligned.batch == Settings().aligned.batch


def test_file_named_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    write("seed = 7")
    other = write("seed = 8", "other.toml")
    monkeypatch.setenv("TWINVEC_SETTINGS", str(other))
    assert load_settings().seed == 8
    monkeypatch.setenv("HOME", str(other.parent))
    monkeypatch.setenv("TWINVEC_SETTINGS", "~/other.toml")
    assert load_settings().seed == 8


def test_environment_wins_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[aligned]\nepochs = 3\nbatch = 17")
    monkeypatch.setenv("TWINVEC_ALIGNED__EPOCHS", "5")
    settings = load_settings()
    assert (settings.aligned.epochs, settings.aligned.batch) == (5, 17)


def test_arguments_win_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    write("seed = 1")
    monkeypatch.setenv("TWINVEC_SEED", "2")
    assert load_settings().seed == 2
    assert load_settings(seed=3).seed == 3


def test_empty_variables_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    write("seed = 7")
    for variable in ("TWINVEC_SETTINGS", "TWINVEC_SEED", "TWINVEC_QDRANT__URL", "TWINVEC_QDRANT__API_KEY"):
        monkeypatch.setenv(variable, "")
    settings = load_settings()
    assert (settings.seed, settings.qdrant.url, settings.qdrant.api_key) == (7, None, None)


@pytest.mark.parametrize(
    ("text", "place", "close"),
    [
        ("sed = 1", "sed", "seed"),
        ("[relatd]\nepochs = 3", "relatd", "related"),
        ("[aligned]\nepoch = 3", "aligned.epoch", "epochs"),
        ("[qdrant]\nurls = 'x'", "qdrant.urls", "url"),
    ],
)
def test_unknown_key_in_the_file(text: str, place: str, close: str) -> None:
    write(text)
    assert f"{place} in twinvec.toml: no such setting; did you mean {close}?" in message()


@pytest.mark.parametrize(
    ("variable", "close"),
    [
        ("TWINVEC_SED", "TWINVEC_SEED"),
        ("twinvec_sed", "TWINVEC_SEED"),
        ("TWINVEC_SETTING", "TWINVEC_SETTINGS"),
        ("TWINVEC_ALIGNED__EPOCH", "TWINVEC_ALIGNED__EPOCHS"),
        ("TWINVEC_ALIGNED_EPOCHS", "TWINVEC_ALIGNED__EPOCHS"),
        ("TWINVEC_ALIGND__EPOCHS", "TWINVEC_ALIGNED__EPOCHS"),
        ("TWINVEC_RELEASE__NAME", "TWINVEC_RELEASE"),
    ],
)
def test_unknown_variable(variable: str, close: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    text = message()
    assert f"environment variable {variable} is not a setting" in text
    assert f"did you mean {close}?" in text


def test_a_key_like_no_other_gets_no_guess() -> None:
    write("zzzzzz = 1")
    text = message()
    assert "zzzzzz" in text
    assert "did you mean" not in text


def test_unknown_argument() -> None:
    write("seed = 1")
    assert "sed: no such setting; did you mean seed?" in message(sed=1)


def test_all_problems_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write('release = "No Spaces"\n[aligned]\nepochs = 0\n')
    monkeypatch.setenv("TWINVEC_RELATED__LAYERS", "two")
    text = message()
    assert "release in twinvec.toml: String should match" in text
    assert "aligned.epochs in twinvec.toml: Input should be greater than or equal to 1" in text
    assert "TWINVEC_RELATED__LAYERS: Input should be a valid integer" in text


def test_a_group_must_be_a_table() -> None:
    write("aligned = 3")
    assert "aligned in twinvec.toml" in message()


def test_a_group_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_ALIGNED", '{"epochs": 4}')
    assert load_settings().aligned.epochs == 4
    monkeypatch.setenv("TWINVEC_ALIGNED", "{epochs: 4")
    assert 'field "aligned"' in message()


def test_the_variable_that_an_error_advises_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load_settings()
    monkeypatch.setenv("TWINVEC_ALIGNED", "{epochs: 4")
    hint = message().partition("hint: ")[2]
    monkeypatch.delenv("TWINVEC_ALIGNED")
    (advised,) = re.findall(r"(TWINVEC_\w+)=(\w+)", hint)
    monkeypatch.setenv(*advised)
    assert load_settings() != defaults


def test_variables_in_the_documentation_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    import twinvec.settings

    page = Path(__file__).parents[2] / "docs" / "settings.md"
    text = page.read_text(encoding="utf-8") + str(twinvec.settings.__doc__)
    named = {
        name
        for name in re.findall(r"TWINVEC_[A-Z_]*[A-Z]\b(?!…)", text)
        if not name.startswith("TWINVEC_TOY")
    }
    assert {"TWINVEC_HOME", "TWINVEC_ALIGNED__EPOCHS"} <= named
    for name in named - {"TWINVEC_SETTINGS"}:
        monkeypatch.setenv(name, "7")
    load_settings()


def test_a_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINVEC_SETTINGS", "/no/such/file.toml")
    assert "/no/such/file.toml" in message()


@pytest.mark.parametrize("content", [b"seed =", b"seed = 1\nseed = 2", b"release = '\xff'"])
def test_a_file_that_is_not_toml(content: bytes) -> None:
    Path("twinvec.toml").write_bytes(content)
    assert "twinvec.toml is not valid TOML" in message()


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "TWINVEC_QDRANT__API_KEY": "key-of-qdrant",
        "TWINVEC_REGISTRY__URL": "postgresql+psycopg://shop:key-of-registry@db/registry",
        "TWINVEC_MLFLOW__TRACKING_URI": "https://ci:key-of-mlflow@runs",
    }
    for variable, value in secrets.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    printed = json.dumps(settings.masked()) + repr(settings) + str(settings)
    assert "key-of" not in printed
    assert settings.masked()["qdrant"]["api_key"] == "**********"
    assert settings.registry_url() == secrets["TWINVEC_REGISTRY__URL"]
    assert settings.tracking_uri() == secrets["TWINVEC_MLFLOW__TRACKING_URI"]


def test_masked_names_every_setting() -> None:
    masked = load_settings().masked()
    assert masked.keys() == Settings.model_fields.keys()
    assert masked["qdrant"]["api_key"] is None
    assert masked["aligned"]["epochs"] == 20


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.aligned.epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize("home", ["store", "./store", "~/store", "{here}/store"])
def test_home_is_absolute(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TWINVEC_HOME", home.format(here=tmp_path))
    settings = load_settings()
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "store"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Group):
            described = {key: value.description for key, value in type(field.default).model_fields.items()}
            assert all(described.values()), f"{name}: {described}"
            assert type(field.default).__doc__
        else:
            assert field.description, name


def test_reading_the_settings_warns_of_nothing() -> None:
    write("seed = 1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_settings()
