from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import twinvec

LINES = 400


SAY = "import platform; print(platform.__file__)"


@pytest.mark.parametrize("arguments", [["-c", SAY], ["-m", "timeit", "-n1", "-r1", SAY]])
def test_platform_is_the_standard_library_s(root: Path, arguments: list[str]) -> None:
    # Both put the current folder first on the path, where our `platform/` is.
    command = [sys.executable, *arguments]
    found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    assert Path(found.splitlines()[0]).parent == Path(os.__file__).parent


def test_pytest_runs_as_a_module(root: Path) -> None:
    subprocess.run([sys.executable, "-m", "pytest", "--version"], cwd=root, check=True)


def test_platform_is_a_source_root_and_no_package(root: Path) -> None:
    files = {path.name for path in (root / "platform").iterdir()}
    assert not files & {"__init__.py", "platform.py"}


def test_the_feature_repository_is_no_package(root: Path) -> None:
    # Feast imports these files by bare name: one called like a standard module would not be loaded.
    names = {path.stem for path in (root / "feature_repo").glob("*.py")}
    assert names
    assert not names & {"__init__", *sys.stdlib_module_names}


def test_tests_are_no_packages(root: Path) -> None:
    assert list((root / "tests").rglob("__init__.py")) == []


def test_no_file_is_too_long_to_read(root: Path, modules: list[Any]) -> None:
    lengths = {
        str(module): len((root / module.path).read_text(encoding="utf-8").splitlines()) for module in modules
    }
    assert {path: length for path, length in lengths.items() if length > LINES} == {}


def test_requirements_name_packages_only(root: Path) -> None:
    assert not (root / "uv.lock").exists(), "a lock file names the host it was made from"
    pinned = re.compile(r"[a-z0-9-]+==[A-Za-z0-9.]+( ; .+)?")
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_requirements_hold_every_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=~ ]", dependency)[0].lower() for dependency in wanted}
    pinned = {line.split("==")[0] for line in (root / "requirements.txt").read_text().splitlines()}
    assert names - pinned == set(), "run `make requirements`"


def test_the_version_is_the_same_everywhere(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[(\d[^\]]*)\]", changes, flags=re.MULTILINE)
    assert project["project"]["version"] == twinvec.__version__ == releases[0]


def test_the_settings_load_without_heavy_imports(root: Path) -> None:
    heavy = "{'torch', 'feast', 'mlflow', 'dgl', 'pandas', 'sqlalchemy', 'alembic', 'qdrant_client'}"
    script = f"import sys, twinvec.settings, twinvec.errors; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)
