"""Files that Twinvec makes are their owner's alone, unless the setting `access` shares it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import twinvec
from pipelines.command import app
from twinvec.catalogue.synthetic.store import generate
from twinvec.errors import SettingsError
from twinvec.workspace import Workspace


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    assert os.umask(before) == 0o022, "a command leaves the process as it was"


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def rights(entries: set[Path]) -> set[int]:
    assert entries
    return {entry.stat().st_mode & 0o777 for entry in entries}


def test_nobody_else_reads_what_commands_make(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    home = workspace.settings.home
    monkeypatch.setenv("TWINVEC_HOME", str(home))
    run("status")  # re-bases a copy
    before = set(home.rglob("*"))
    run("publish", "related@v1")
    run("promote")
    made = set(home.rglob("*")) - before
    assert {entry.relative_to(home).parts[0] for entry in made} >= {"qdrant", "releases"}
    assert {mode & 0o077 for mode in rights(made)} == {0}


@pytest.mark.parametrize(("access", "folder", "file"), [("", 0o700, 0o600), ("group", 0o750, 0o640)])
def test_a_new_home_has_the_rights_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, access: str, folder: int, file: int
) -> None:
    generate(tmp_path / "store", 200, seed=3, images=False)
    home = tmp_path / "home"
    monkeypatch.setenv("TWINVEC_HOME", str(home))
    monkeypatch.setenv("TWINVEC_ACCESS", access)
    run("ingest", str(tmp_path / "store"), "--format", "parquet")
    entries = {home, *home.rglob("*")}
    assert rights({entry for entry in entries if entry.is_dir()}) == {folder}
    assert rights({entry for entry in entries if entry.is_file()}) == {file}


def test_the_library_makes_a_private_folder_and_leaves_the_process_alone(tmp_path: Path) -> None:
    with twinvec.open(tmp_path / "above" / "home"):
        pass
    assert rights({tmp_path / "above" / "home"}) == {0o700}
    with twinvec.open(tmp_path / "shared", access="all"):
        pass
    assert rights({tmp_path / "shared"}) == {0o755}
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be made"):
        twinvec.open(tmp_path / "file")
    with pytest.raises(SettingsError, match="cannot be made"):
        twinvec.open(tmp_path / "file" / "home")
